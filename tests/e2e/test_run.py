"""`flowtui run` and what can be read off its file: the whole path, on the shipped model."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import psutil
import pytest

from flowtui.engine.demo.examples import Example
from tests.e2e.terminal import COMMAND, Call, Open

FIELDS = {
    "model", "model_dir", "layers", "image_tokens", "tokens", "groups", "answer", "attention", "cam", "saliency",
    "truncation", "cliff", "lens", "knockout", "faithfulness", "timings_s",
}  # fmt: skip


def test_json_has_every_field(flowtui: Call, run_file: Path, example: Example) -> None:
    content = json.loads(flowtui("show", run_file, "--json").stdout)
    assert not FIELDS - set(content)
    assert (content["layers"], content["image_tokens"]) == (12, 144)
    assert content["answer"]["text"] == example.answer
    share = content["attention"]["share"]
    for layer in range(12):
        assert sum(share[group][layer] for group in share) == pytest.approx(1, abs=1e-3)
    assert content["cam"]["grid"] == [12, 12]
    # The last layer's post-attention site has no path to an answer row.
    assert content["cam"]["peak"][11] is None
    curve = content["truncation"]
    assert curve["k"] == list(range(13))
    assert curve["same_answer"][12] is True
    assert curve["text"][12] == example.answer
    assert curve["kl"][12] == pytest.approx(0, abs=1e-5)
    assert content["cliff"]["rule"]
    assert content["cliff"]["k"] is None or 0 <= content["cliff"]["k"] < 12
    assert len(content["saliency"]["flow"]["image->answer"]) == 12
    # In the last layer the lens is the model itself, which gave this answer greedily.
    assert content["lens"]["rank"][11] == [0] * len(content["answer"]["ids"])
    assert {len(edge["logprob"]) for edge in content["knockout"]["edges"].values()} == {12}
    # The answer is on the image: where that cannot be looked at, it becomes less likely.
    assert min(content["knockout"]["edges"]["image->answer"]["prob"]) < -0.1
    # The last layer's CAM is zero, and so has no order.
    assert content["faithfulness"]["maps"]["cam"]["ranked"] == [True] * 11 + [False]
    start, end = content["groups"]["image"]
    assert end - start == 144
    assert Path(content["model_dir"]).is_dir()


def test_the_demo_models_answer_has_a_cliff(flowtui: Call, run_file: Path) -> None:
    content = json.loads(flowtui("show", run_file, "--json").stdout)
    cliff, curve = content["cliff"]["k"], content["truncation"]
    assert 0 < cliff < 12
    assert all(curve["same_answer"][cliff:])
    assert max(curve["kl"][cliff:]) <= content["cliff"]["eta"]
    assert not (curve["same_answer"][cliff - 1] and curve["kl"][cliff - 1] <= content["cliff"]["eta"])


def test_analyses_agree_where_they_ask_the_same(flowtui: Call, run_file: Path) -> None:
    one = json.loads(flowtui("show", run_file, "--layer", 3, "--json").stdout)
    curve = json.loads(flowtui("show", run_file, "--json").stdout)["truncation"]
    tokens = len(one["answer"]["tokens"])
    # Without any image token from the first layer on, and with all of them; in float32 over 12 layers.
    never, always = (math.exp(curve["logprob"][k] / tokens) for k in (0, 12))
    judged = one["faithfulness"]
    for curves in (*judged["maps"].values(), judged["random"]):
        assert curves["deletion"][0] == curves["insertion"][-1] == pytest.approx(always, rel=1e-3)
        assert curves["deletion"][-1] == curves["insertion"][0] == pytest.approx(never, rel=1e-3)


def test_show_reads_the_same_in_three_forms(flowtui: Call, run_file: Path, example: Example) -> None:
    content = json.loads(flowtui("show", run_file, "--json").stdout)
    table = list(csv.DictReader(flowtui("show", run_file, "--csv").stdout.splitlines()))
    text = flowtui("show", run_file).stdout
    assert [float(row["image"]) for row in table[:12]] == content["attention"]["share"]["image"]
    assert f"answer   {example.answer}" in text
    assert f"K = {content['cliff']['k']}" in text
    one = json.loads(flowtui("show", run_file, "--layer", 3, "--json").stdout)
    assert one["attention"]["share"]["image"] == [content["attention"]["share"]["image"][3]]


def test_run_json_is_what_show_prints(flowtui: Call, example: Example, home: Path) -> None:
    path = home / "given.pkl"
    done = flowtui(
        "run", example.image, example.question, "--answer", "red", "--analysis", "attention", "--layers", "0-2,5",
        "--device", "cpu", "-o", path, "--json",
    )  # fmt: skip
    content = json.loads(done.stdout)
    assert done.stderr == f"Wrote {path}\n"
    assert content == json.loads(flowtui("show", path, "--json").stdout)
    assert content["answer"]["text"] == "red"
    assert [s is not None for s in content["attention"]["share"]["image"]] == [i in (0, 1, 2, 5) for i in range(12)]
    assert content["cam"] is content["truncation"] is content["cliff"] is None


def test_without_an_output_the_file_is_named_after_the_image(flowtui: Call, terminal: Open, example: Example) -> None:
    screen = terminal(
        COMMAND, "run", example.image, example.question, "--analysis", "cam", "--device", "cpu", columns=100, lines=40
    )
    # A person watches: the stages show while they last, and nothing of them stays.
    screen.wait_for(lambda text: "loading the model" in text)
    assert screen.wait_for_end() == 0
    assert "loading the model" not in screen.text
    assert "Look at it with: flowtui" in screen.text
    # The bar gives the cursor back.
    assert screen.raw.rstrip().rfind(b"\x1b[?25h") > screen.raw.rfind(b"\x1b[?25l")
    flowtui("show", f"{example.image.stem}.pkl")


def test_ctrl_c_ends_the_engine_too(terminal: Open, example: Example) -> None:
    # Work for a minute and more, so that the keys cannot come too late.
    long = ("--analysis", "cam", "--set", "cam.variant=smooth", "--set", "cam.copies=1024")
    screen = terminal(COMMAND, "run", example.image, example.question, "--device", "cpu", "-o", "cancelled.pkl", *long)
    screen.wait_for(lambda text: "loading the model" in text)
    children = psutil.Process(screen.pid).children()
    assert children
    screen.interrupt()
    assert screen.wait_for_end() == 130
    assert "Cancelled." in screen.text
    assert not psutil.wait_procs(children, timeout=30)[1]


def test_export_writes_what_it_names(flowtui: Call, run_file: Path, home: Path) -> None:
    for kind in ("png", "svg", "csv", "json"):
        written = flowtui("export", run_file, "--format", kind, "-o", home / "out").stdout.splitlines()
        assert written
        assert all(Path(name).stat().st_size for name in written)
    only = flowtui("export", run_file, "--what", "cam", "--format", "csv", "-o", home / "out").stdout.splitlines()
    assert only == [str(home / "out" / "cam.csv")]
