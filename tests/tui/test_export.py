from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import numpy as np
import pytest
from PIL import Image

from flowtui.engine.images import decode_image
from flowtui.engine.spec import ANALYSES
from flowtui.errors import UsageError
from flowtui.tui.colourbar import colour_ramp, with_colour_bar
from flowtui.tui.content.grids import MAP_OF
from flowtui.tui.export import WHAT, export_run
from flowtui.tui.made_from import FORMATS, MADE_FROM
from flowtui.tui.overlay import overlay
from flowtui.tui.series import SERIES
from flowtui.tui.summary import summarise
from tests.factories import png, random_run


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def number(text: str, like: float) -> float:
    """A number of a CSV file: float32 values stand there with the digits that float32 needs."""
    short = float(np.float32(like)) == like
    return float(np.float32(text)) if short else float(text)


def numbers(texts: list[str], like: list[float]) -> list[float]:
    return [number(text, one) for text, one in zip(texts, like, strict=True)]


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("format", FORMATS)
def test_everything_is_exported_by_default(tmp_path: Path, format: str) -> None:
    paths = export_run(random_run(layers=3), (), format, tmp_path / "new" / "folder")
    assert {re.match(r"[a-z]+", path.name)[0] for path in paths} == set(WHAT)  # type: ignore[index]
    assert {path.suffix for path in paths} == {f".{format}"}
    assert all(path.stat().st_size for path in paths)


def above_the_bar(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The picture without what stands below it."""
    with Image.open(path) as made:
        assert made.width == size[0]
        assert made.height > size[1]
        return np.asarray(made.crop((0, 0, *size)))


@pytest.mark.parametrize("what", ["cam", "attention", "saliency"])
@pytest.mark.parametrize(("own", "times"), [((400, 80), 1), ((120, 80), 3)])
def test_maps_keep_the_images_pixels_or_enlarge_them_whole(
    tmp_path: Path, what: str, own: tuple[int, int], times: int
) -> None:
    run = random_run(layers=3)
    run = replace(run, spec=replace(run.spec, images=(png(*own),)), image_sizes=(own,))
    paths = export_run(run, (what,), "png", tmp_path)
    chart = ["saliency-flow.png"] if what == "saliency" else []
    assert names(paths) == [f"{what}-layer-{i:02d}.png" for i in range(3)] + chart
    made = above_the_bar(paths[0], (own[0] * times, own[1] * times))
    small = np.asarray(
        overlay(decode_image(run.spec.images[0]), run.tokens, MAP_OF[what](run.analyses[what].layers[0]))
    )
    np.testing.assert_array_equal(made, small.repeat(times, 0).repeat(times, 1))


def test_the_bar_runs_from_zero_to_the_maximum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "flowtui.tui.export.with_colour_bar", lambda image, *texts: said.append(texts) or with_colour_bar(image, *texts)
    )
    run = random_run(layers=3)
    paths = export_run(run, ("cam", "attention"), "png", tmp_path)
    heat = run.analyses["cam"].layers[0].arrays["heat"][0]
    rows = run.analyses["attention"].layers[1].arrays["image_rows"]
    assert said[0] == ("LLaVA-CAM, layer 0 of 2", f"{heat.max():.3g}")
    assert said[2] == ("LLaVA-CAM, layer 2 of 2: zero everywhere", "")
    assert said[4] == ("Attention share, layer 1 of 2", f"{100 * rows.mean(0, dtype=float).max():.3g} %")
    with Image.open(paths[0]) as made:
        pixels = np.asarray(made)[96 * 4 :].reshape(-1, 3)
    for end in (0, -1):
        assert (pixels == np.asarray(colour_ramp(50, 1))[0, end]).all(axis=1).any()


def test_a_zero_map_leaves_the_picture(tmp_path: Path) -> None:
    run = random_run(layers=3)
    last = export_run(run, ("cam",), "png", tmp_path)[-1]
    with Image.open(io.BytesIO(run.spec.images[0])) as original:
        whole = np.asarray(original.convert("RGB")).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(above_the_bar(last, (384, 384)), whole)


def test_map_values_are_the_stored_ones(tmp_path: Path) -> None:
    run = random_run(layers=2, grid=(3, 4))
    (table,) = export_run(run, ("cam",), "csv", tmp_path)
    found = np.zeros((2, 3, 4), dtype=np.float32)
    for row in read_csv(table):
        found[int(row["layer"]), int(row["row"]), int(row["col"])] = float(row["value"])
    heat = run.analyses["cam"].stack("heat")[:, 0].reshape(2, 3, 4)
    np.testing.assert_array_equal(found, heat)
    (document,) = export_run(run, ("cam",), "json", tmp_path)
    grids = [layer["grids"][0] for layer in json.loads(document.read_text())["layers"]]
    np.testing.assert_array_equal(grids, heat)


def test_attention_maps_are_means_over_answer_tokens(tmp_path: Path) -> None:
    run = random_run(layers=2, grid=(3, 4))
    (document,) = export_run(run, ("attention",), "json", tmp_path)
    grid = json.loads(document.read_text())["layers"][1]["grids"][0]
    rows = run.analyses["attention"].layers[1].arrays["image_rows"]
    by_hand = sum(row.astype(float) for row in rows) / len(rows)
    # The same three float32 values added in float64, in another order.
    np.testing.assert_allclose(np.ravel(grid), by_hand, rtol=1e-12)


def test_saliency_is_maps_and_flows(tmp_path: Path) -> None:
    run = random_run(layers=2, grid=(3, 4))
    flow = summarise(run)["saliency"]["flow"]
    grids, table = export_run(run, ("saliency",), "csv", tmp_path)
    assert names([grids, table]) == ["saliency.csv", "saliency-flow.csv"]
    assert (
        numbers([row["saliency_image_answer"] for row in read_csv(table)], flow["image->answer"])
        == flow["image->answer"]
    )
    assert len(read_csv(grids)) == 24
    _, document = export_run(run, ("saliency",), "json", tmp_path)
    assert json.loads(document.read_text())["flow"] == flow
    _, chart = export_run(run, ("saliency",), "svg", tmp_path)
    assert "image-&gt;answer" in chart.read_text()


def test_an_answer_without_tokens_has_no_maps_over_rows(tmp_path: Path) -> None:
    run = random_run(layers=2, answer=(), analyses=("attention", "saliency"))
    assert export_run(run, ("attention",), "png", tmp_path) == []


def test_the_lens_is_guesses_probabilities_and_patches(tmp_path: Path) -> None:
    run = random_run(layers=2, grid=(3, 4))
    lens = summarise(run)["lens"]
    (table,) = export_run(run, ("lens",), "csv", tmp_path)
    rows = read_csv(table)
    assert len(rows) == 2 * 3 * 5
    row = next(row for row in rows if (row["layer"], row["token"], row["place"]) == ("1", "2", "3"))
    assert (row["answer"], row["guess"]) == ("circle", lens["top"][1][2][3][0])
    guess = lens["top"][1][2][3][1]
    assert number(row["guess_prob"], guess) == guess
    assert (int(row["rank"]), number(row["prob"], lens["prob"][1][2])) == (lens["rank"][1][2], lens["prob"][1][2])
    (document,) = export_run(run, ("lens",), "json", tmp_path)
    assert json.loads(document.read_text())["image_tokens"][1] == summarise(run, 1)["lens"]["image_tokens"]
    (chart,) = export_run(run, ("lens",), "svg", tmp_path)
    assert "2 circle" in chart.read_text()


def test_curves_follow_the_summary(tmp_path: Path) -> None:
    run = random_run()
    content = summarise(run)
    (table,) = export_run(run, ("truncation",), "csv", tmp_path)
    curve = read_csv(table)
    kl = content["truncation"]["kl"]
    assert numbers([row["k_kl"] for row in curve], kl) == kl
    assert curve[0]["k_text"] == "a blue ring"
    (document,) = export_run(run, ("truncation",), "json", tmp_path)
    assert json.loads(document.read_text())["cliff"] == content["cliff"]
    (shares,) = export_run(run, ("flow",), "csv", tmp_path)
    share = content["attention"]["share"]["image"]
    assert numbers([row["image"] for row in read_csv(shares)], share) == share


def test_knockout_has_a_row_for_each_layer_and_edge(tmp_path: Path) -> None:
    run = random_run(layers=4)
    edges = summarise(run)["knockout"]["edges"]
    (table,) = export_run(run, ("knockout",), "csv", tmp_path)
    found = {(int(r["layer"]), r["edge"]): (float(r["logprob"]), float(r["prob"])) for r in read_csv(table)}
    assert found == {(i, n): (e["logprob"][i], e["prob"][i]) for n, e in edges.items() for i in range(4)}
    (document,) = export_run(run, ("knockout",), "json", tmp_path)
    assert json.loads(document.read_text())["edges"] == edges
    (chart,) = export_run(run, ("knockout",), "svg", tmp_path)
    assert all(escape(name) in chart.read_text() for name in edges)


def test_faithfulness_has_whole_curves(tmp_path: Path) -> None:
    run = random_run(layers=3)
    (table,) = export_run(run, ("faithfulness",), "csv", tmp_path)
    rows = read_csv(table)
    for layer, result in run.analyses["faithfulness"].layers.items():
        for kind in ("deletion", "insertion"):
            for i, name in enumerate(("cam", "attention", "saliency", "random")):
                own = [r for r in rows if (int(r["layer"]), r["map"], r["curve"]) == (layer, name, kind)]
                known = result.arrays[kind][i].tolist()
                assert numbers([r["probability"] for r in own], known) == known
                assert all(len(r["probability"]) <= 13 for r in own)
                assert [float(r["fraction"]) for r in own] == result.arrays["fraction"].tolist()
    (document,) = export_run(run, ("faithfulness",), "json", tmp_path)
    content = json.loads(document.read_text())
    assert content["maps"] == summarise(run)["faithfulness"]["maps"]
    assert (
        content["curves"][2]["deletion"]["cam"] == run.analyses["faithfulness"].layers[2].arrays["deletion"][0].tolist()
    )
    deletion, insertion = export_run(run, ("faithfulness",), "svg", tmp_path)
    assert names([deletion, insertion]) == ["faithfulness-deletion.svg", "faithfulness-insertion.svg"]
    assert "random order" in deletion.read_text()
    charts = SERIES["faithfulness"].charts(summarise(run))
    for kind in ("deletion", "insertion"):
        series = charts[f"faithfulness-{kind}"].series
        # The last layer's CAM is zero: it has no order, and its line ends before.
        assert series["cam"] == [*content["maps"]["cam"][f"{kind}_auc"][:2], None]
        assert series["saliency"] == content["maps"]["saliency"][f"{kind}_auc"]
        assert series["random order"] == [content["random"][f"{kind}_auc"]] * 3


def test_everything_that_can_be_exported_has_its_analysis() -> None:
    assert set(MADE_FROM.values()) <= set(ANALYSES)
    assert set(MADE_FROM) == set(SERIES) | set(MAP_OF)


def test_the_sheet_holds_a_picture_of_every_layer(tmp_path: Path) -> None:
    (sheet,) = export_run(random_run(layers=5), ("cam",), "svg", tmp_path)
    images = list(ET.parse(sheet).iter("{http://www.w3.org/2000/svg}image"))
    # The last is the colour bar.
    assert len(images) == 5 + 1
    data = base64.b64decode(images[0].get("href", "").removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).size == (96, 96)


def test_text_from_the_model_stays_text(tmp_path: Path) -> None:
    run = random_run(layers=2)
    run = replace(run, answer=replace(run.answer, text="</svg>\x1b"))
    (sheet,) = export_run(run, ("cam",), "svg", tmp_path)
    assert "␛" in ET.parse(sheet).findtext("{http://www.w3.org/2000/svg}text", "")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    run = random_run(analyses=("cam",))
    with pytest.raises(UsageError, match="no attention results, which flow"):
        export_run(run, ("flow",), "svg", tmp_path)
    with pytest.raises(UsageError, match="'heads'"):
        export_run(run, ("heads",), "svg", tmp_path)
    with pytest.raises(UsageError, match="'gif'"):
        export_run(run, (), "gif", tmp_path)
    with pytest.raises(UsageError, match="no results"):
        export_run(random_run(analyses=()), (), "png", tmp_path)
    assert not list(tmp_path.iterdir())
