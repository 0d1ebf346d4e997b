"""The page that `make paper` writes: its rules and its words, on numbers made up for the purpose."""

from __future__ import annotations

import csv
import io
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from docs.paper import steps
from docs.paper.__main__ import gather
from docs.paper.claims import Claim, Results, judge
from docs.paper.findings import Aim, blind_items, halves, lowest, trait_mean
from docs.paper.page import TEXT, check, page
from docs.paper.pictures import DRAWN, small, write_pictures
from docs.paper.theirs import TABLE
from tests.factories import png

LAYERS = 4
FALLING = [0.8, 0.3, 0.1, 0.2]
ANSWERS = {asked.name: asked.truth for asked in steps.ASKED}


def run(**changes: Any) -> dict[str, Any]:
    """What `flowtui show RUN.pkl --box ... --json` prints of a run that does all that the paper says."""
    share = {"system": [0.5, 0.5, 0.5, 0.4], "image": [0.3, 0.1, 0.1, 0.2], "user": [0.2, 0.4, 0.4, 0.4]}
    flow = {"system->answer": FALLING, "user->answer": FALLING, "image->answer": [0.9, 0.5, 0.01, 0.02]}
    return {
        "layers": LAYERS,
        "image_tokens": 144,
        "answer": {"text": "B"},
        "attention": {"share": share},
        "saliency": {"flow": {**flow, "answer->answer": FALLING}},
        "cam": {"mass_in_box": [0.5, 0.4, 0.1, None], "pointing": [True, True, False, None]},
        "mask": {"share": 0.2},
        "truncation": {"k": list(range(LAYERS + 1)), "kl": [0.0031, 0.0, 0.0, 0.0, 0.0], "same_answer": [True] * 5},
        "cliff": {"k": 0},
        **changes,
    }


def row(metric: str, cut: str = "all", cliff: int | None = 2, lower: bool = False) -> dict[str, Any]:
    score = [0.5, 0.9, 0.9, 0.9, 0.9]
    return {
        "metric": metric,
        "cut": cut,
        "lower_is_better": lower,
        "baseline": 0.9,
        "baseline_interval": [0.87, 0.93],
        "cliff": cliff,
        "cliff_interval": [2, 4],
        "at_cliff": None if cliff is None else score[cliff],
        "at_cliff_interval": None if cliff is None else [0.87, 0.93],
        "items_counted": 400,
        "items_needed": 300,
        "score": score,
        "score_low": [value - 0.03 for value in score],
        "score_high": [value + 0.03 for value in score],
        "verdict": "No cliff." if cliff is None else f"From K = {cliff} on.",
        "gain_verdict": "The best K (2) gains 0.00 points: no more than the best of 4 reaches by chance (0.10).",
    }


def sweeps() -> dict[str, Any]:
    """What `flowtui show SWEEP.pkl --json` prints, with cliffs in the paper's order."""
    cliffs = {"scienceqa": 1, "textvqa": 2, "pope": 3, "chair": 3}
    found: dict[str, Any] = {
        swept.name: {"rows": [row(x.own, cliff=cliffs[x.sweep], lower=x.like == "CHAIR") for x in TABLE
                              if x.sweep == swept.name], "items": swept.limit}
        for swept in steps.SWEPT
    }  # fmt: skip
    values = {"kept": FALLING, "lost": [0.4, None, 0.1, 0.3], "gained": [None] * 4, "difference": [0.0] * 4}
    names = ("attention.image_share", "attention.focus", "cam.focus")
    found["chair"]["rows"].append(row("chair.recall"))
    found["strategies"] |= {
        "rows": [row("accuracy", cut) for cut in ("all", "top-16", "random-16")],
        "traits": {"items": {"kept": 3, "lost": 1, "gained": 0}, "values": dict.fromkeys(names, values)},
    }
    return found


def write_items(folder: Path) -> None:
    """An items.csv with three items: flat to K = 0, changed at K = 0, and unchanged but for its KL."""
    folder.mkdir(parents=True)
    rows = [("a", True, 0.01), ("b", False, 0.01), ("c", True, 0.9)]
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, ["cut", "id", "k", "same", "kl"])
        out.writeheader()
        for name, same, kl in rows:
            out.writerow({"cut": "all", "id": name, "k": 0, "same": same, "kl": kl})
            out.writerow({"cut": "all", "id": name, "k": 1, "same": True, "kl": 0.0})
        out.writerow({"cut": "top-16", "id": "d", "k": 0, "same": True, "kl": 0.0})


@pytest.fixture
def results(tmp_path: Path) -> Results:
    for swept in steps.SWEPT:
        write_items(tmp_path / swept.name)
    return gather(tmp_path, {a.name: run(cliff={"k": 0 if a.box is None else 2}) for a in steps.ASKED}, sweeps())


def claims(results: Results) -> dict[str, Claim]:
    return {f"{claim.where}: {claim.paper}": claim for claim in judge(results)}


def test_a_page_has_no_holes_and_names_every_picture(results: Results) -> None:
    text = page(results, ANSWERS)
    assert set(re.findall(r"paper/figures/([\w-]+)\.png", text)) == {*DRAWN, "figure-5", "strategies"}
    assert "| POPE-like | accuracy (higher is better) | 90.00 [87.00, 93.00] | 3 (2-4) of 4 |" in text
    assert "84.70 | 85.51 | 22 of 32 |" in text
    assert "Here: same answer at 5 of 5 K, largest KL 0.0031 nats, cliff at K = 0." in text
    assert "| POPE-like | 3 | 1 | 2 |" in text
    assert "0.15 in the top tenth, in layers 2." in text
    for swept in steps.SWEPT:
        assert f"--limit {swept.limit} --seed {steps.SEED}" in text


def test_a_wrong_answer_is_called_wrong(results: Results) -> None:
    assert 'Answer: "yes", which is right.' in page(results, ANSWERS)
    assert 'Answer: "no", which is wrong: it is "yes".' in page(results, ANSWERS | {"pope-run": "no"})


def test_the_same_numbers_give_the_same_page(results: Results) -> None:
    assert page(results, ANSWERS) == page(deepcopy(results), ANSWERS)


@pytest.mark.parametrize("hole", ["{layers}", "nan", "| None |", "inf %"])
def test_a_hole_is_refused(hole: str) -> None:
    with pytest.raises(ValueError, match="no value"):
        check(f"a page with {hole} in it")


def test_no_cliff_is_a_word_and_no_hole(results: Results) -> None:
    for content in results.sweeps.values():
        for each in content["rows"]:
            each |= row(each["metric"], each["cut"], cliff=None, lower=each["lower_is_better"])
    results.blind["cliff"]["k"] = None
    text = page(results, ANSWERS)
    assert "none (2-4) of 4" in text
    found = claims(results)
    assert not any(claim.holds for name, claim in found.items() if name.startswith(("Figure 5", "Figure 9", "Table 1")))


def test_what_does_as_the_paper_says_agrees(results: Results) -> None:
    # The captions' made-up cliff is POPE's: the order alone does not ascend.
    assert [claim.where for claim in judge(results) if not claim.holds] == ["Figure 5"]


@pytest.mark.parametrize(
    ("where", "analysis", "change"),
    [
        ("Figure 1", "saliency", {"flow": {f"{g}->answer": [0.1, 0.1, 0.2, 0.2] for g in ("system", "image", "user")}}),
        ("Figure 2A", "attention", {"share": dict.fromkeys(("system", "image", "user"), [1 / 3] * LAYERS)}),
        ("Figure 3", "cam", {"mass_in_box": [0.1, 0.1, 0.4, None], "pointing": [False] * LAYERS}),
        ("Figure 4", "cam", {"mass_in_box": [0.1, 0.4, 0.4, None], "pointing": [False] * LAYERS}),
    ],
)
def test_what_does_otherwise_does_not_agree(
    tmp_path: Path, results: Results, where: str, analysis: str, change: dict[str, Any]
) -> None:
    changed = run(**{analysis: change}, cliff={"k": 2})
    runs = {asked.name: run() if asked.box is None else changed for asked in steps.ASKED}
    found = judge(gather(tmp_path, runs, results.sweeps))
    assert not all(claim.holds for claim in found if claim.where == where)
    assert f"| {where} |" in page(gather(tmp_path, runs, results.sweeps), ANSWERS)


def test_a_score_that_falls_at_the_cliff_does_not_agree(results: Results) -> None:
    results.sweeps["pope"]["rows"][0]["at_cliff"] = 0.899
    assert not claims(results)["Table 1: at the cliff every score equals the untouched model's or is better"].holds


def test_a_gain_is_read_off_the_verdict_or_not_at_all(results: Results) -> None:
    rows = results.sweeps["pope"]["rows"]
    assert "reaches by chance: in 0" in page(results, ANSWERS)
    rows[0]["gain_verdict"] = rows[0]["gain_verdict"].replace("no more than", "more than")
    assert "reaches by chance: in 1" in page(results, ANSWERS)
    rows[0]["gain_verdict"] = "A great gain."
    with pytest.raises(ValueError, match="A great gain"):
        page(results, ANSWERS)


def test_means_leave_out_what_is_missing(tmp_path: Path) -> None:
    assert (halves([0.4, None, 0.1, 0.3]).shallow, halves([1.0, 2.0, 3.0]).deep) == (0.4, 2.5)
    assert lowest({"system": [0.5, 0.2], "image": [0.1, 0.3], "user": [0.4, 0.5]}) == 1
    traits = {"items": {"kept": 3, "lost": 1}, "values": {"a": {"kept": [1.0, 1.0, None], "lost": [5.0, None, None],
                                                               "difference": [4.0, None, None]}}}  # fmt: skip
    assert trait_mean(traits, "a") == [2.0, 1.0, None]
    aim = Aim(0.2, (0.3, None, 0.1), 1, 2)
    assert (aim.above, aim.maps, aim.always_before_cliff) == (1, 2, True)
    assert not Aim(0.2, (0.3, 0.1), 1, None).always_before_cliff
    write_items(tmp_path / "some")
    found = blind_items(tmp_path / "some" / "items.csv")
    assert (found.items, found.flat, found.same) == (3, 1, 2)


def test_every_field_of_the_template_is_filled_once() -> None:
    fields = re.findall(r"\{(\w*)\}", TEXT)
    assert "" not in fields
    assert "<" not in TEXT


def test_pictures_are_written_small_with_their_command(tmp_path: Path) -> None:
    made = io.BytesIO()
    texts = PngInfo()
    texts.add_text("Description", "flowtui export")
    Image.open(io.BytesIO(png(600, 400))).save(made, "PNG", pnginfo=texts)
    for name, figure in DRAWN.values():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{figure}.png").write_bytes(made.getvalue())
    write_pictures(tmp_path, sweeps(), tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {*DRAWN, "figure-5", "strategies"}
    with Image.open(io.BytesIO(small(made.getvalue()))) as picture:
        assert (picture.mode, picture.size, picture.info["Description"]) == ("P", (600, 400), "flowtui export")
    with Image.open(io.BytesIO(small(made.getvalue(), maps=True))) as picture:
        assert (picture.mode, picture.size, picture.info["Description"]) == ("RGB", (300, 200), "flowtui export")


def test_commands_are_those_that_a_user_types() -> None:
    typed = steps.commands()
    assert len(set(typed)) == len(typed) == 3 * (len(steps.ASKED) + len(steps.SWEPT))
    assert typed[1].startswith("flowtui run examples/scene-3.png 'Is there a red circle in the image?' --analysis ")
