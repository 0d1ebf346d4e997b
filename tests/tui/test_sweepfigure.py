"""Figure 5 of a sweep, and a sweep's data as files."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowtui.errors import UsageError
from flowtui.tui.figures import style
from flowtui.tui.sweepcurves import counted_metrics, is_share, margin_of, sweep_curve, sweep_curves
from flowtui.tui.sweepexport import FORMATS, command_for, export_sweep
from flowtui.tui.sweepfigure import draw, write_sweep_figure
from tests.factories import random_sweep

SWEEP = replace(random_sweep(items=80, curves=(("all", 0), ("top-r", 16))), options={"margin": 0.05})
COMMAND = "flowtui export sweep.pkl --figure 5"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_the_figure_has_its_data_beside_it_and_its_command_inside(tmp_path: Path, format: str) -> None:
    figure, table = write_sweep_figure(SWEEP, format, tmp_path / "new", COMMAND)
    assert (figure.name, table.name) == (f"figure-5.{format}", "figure-5.csv")
    if format == "png":
        with Image.open(figure) as picture:
            assert picture.info["Description"] == COMMAND
            assert picture.width == 990
            assert np.ptp(np.asarray(picture.convert("L"))) > 100
    else:
        assert COMMAND.encode() in figure.read_bytes()
        again = write_sweep_figure(SWEEP, format, tmp_path / "again", COMMAND)
        assert [p.read_bytes() for p in again] == [figure.read_bytes(), table.read_bytes()]
    rows = rows_of(table)
    assert [(r["cut"], r["k"]) for r in rows] == [(cut, str(k)) for cut in ("all", "top-16") for k in range(13)]
    curve = sweep_curve(SWEEP, "accuracy", SWEEP.curves[1])
    for row, *values in zip(rows[13:], curve.score, curve.difference, curve.low, curve.high, curve.bound, strict=True):
        assert [float(row[n]) for n in ("score", "difference", "low", "high", "bound")] == pytest.approx(values)
        assert row["cliff"] == str(curve.k)


def test_it_says_what_it_shows() -> None:
    other = replace(SWEEP, metrics={"accuracy": True})
    for sweep in (SWEEP, other):
        curves = sweep_curves(sweep)
        with style():
            figure = draw(sweep, curves)
        (axes,) = figure.axes
        assert axes.get_ylabel() == ("accuracy, %" if sweep is SWEEP else "accuracy, %,\nlower is better")
        assert figure.get_supxlabel() == "K: leading layers that see the image"
        (legend,) = figure.legends
        assert legend.get_title().get_text() == "demo, demo: 72 items on 40 images"
        says = [text.get_text() for text in legend.get_texts()]
        assert says == ["all image tokens cut", "all but top-16"]
        title = axes.get_title(loc="left")
        for one in curves:
            assert (f"{one.cut} K = {one.curve.k} (" in title) == (one.curve.k is not None)
        assert (title == "no cliff") == all(one.curve.k is None for one in curves)
        lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        np.testing.assert_allclose(lines[says[0]], 100 * curves[0].curve.score)
        # The bands lie around the score, whichever way is better.
        for area, one in zip(axes.collections, curves, strict=True):
            ys = area.get_paths()[0].vertices[:, 1]
            assert ys.min() >= 0
            assert ys.max() <= 100
            assert ys.min() <= 100 * one.curve.score.min() + 1e-9
            assert ys.max() >= 100 * one.curve.score.max() - 1e-9


def test_only_items_with_an_image_count_and_the_margin_is_the_sweeps() -> None:
    curve = sweep_curve(SWEEP, "accuracy", SWEEP.curves[0])
    assert (curve.items, curve.margin) == (72, 0.05)
    assert margin_of(replace(SWEEP, options={})) == 0.01


def test_data_alone(tmp_path: Path) -> None:
    curves, items = export_sweep(SWEEP, "csv", tmp_path, "")
    assert (curves.name, items.name) == ("curves.csv", "items.csv")
    rows = rows_of(items)
    assert len(rows) == 2 * 80 * 13
    for cut in SWEEP.curves:
        for i, k in ((0, 0), (7, 3), (79, 12)):
            item = SWEEP.items[i]
            row = next(r for r in rows if (r["cut"], r["id"], r["k"]) == (cut.label, item.id, str(k)))
            assert row["text"] == SWEEP.text(cut, i, k)
            assert row["same"] == str(bool(cut.same[i, k]))
            assert np.float32(row["kl"]) == cut.kl[i, k]
            counts = item.counts["accuracy"][cut.text[i, k]]
            assert (float(row["accuracy_of"]), float(row["accuracy_out_of"])) == counts
    (document,) = export_sweep(SWEEP, "json", tmp_path, "")
    content = json.loads(document.read_text())
    assert len(content["items"]) == len(rows)
    assert content["curves"][3]["score"] == pytest.approx(float(rows_of(curves)[3]["score"]))


def test_text_of_the_model_stays_text(tmp_path: Path) -> None:
    items = tuple(replace(item, texts=tuple(t + "\x1b[31m" for t in item.texts)) for item in SWEEP.items)
    for path in export_sweep(replace(SWEEP, items=items), "csv", tmp_path, ""):
        assert b"\x1b" not in path.read_bytes()


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'gif'"):
        export_sweep(SWEEP, "gif", tmp_path, COMMAND)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib"):
        export_sweep(SWEEP, "pdf", tmp_path, COMMAND)
    assert not list(tmp_path.iterdir())


def test_the_command_is_one_that_does_it() -> None:
    assert command_for(Path("/a/b c.pkl"), "pdf", Path("/x/out")) == (
        "flowtui export 'b c.pkl' --figure 5 --format pdf -o out"
    )
    assert command_for(None, "csv", Path("out")) == "flowtui export SWEEP.pkl --format csv -o out"
    assert set(FORMATS) == {"pdf", "png", "svg", "csv", "json"}


def test_only_metrics_that_something_counts_in_have_a_curve() -> None:
    none = {name: tuple((0.0, 0.0) for _ in SWEEP.items[0].texts) for name in ("empty",)}
    items = tuple(replace(i, counts={**i.counts, **none}) for i in SWEEP.items)
    sweep = replace(SWEEP, metrics={"empty": False, "accuracy": False}, items=items)
    assert counted_metrics(sweep) == ("accuracy",)
    assert {one.metric for one in sweep_curves(sweep)} == {"accuracy"}
    with pytest.raises(UsageError, match="No item with an image has a part in empty"):
        sweep_curve(sweep, "empty", sweep.curves[0])


def test_items_without_a_part_in_a_metric_are_not_among_its_items() -> None:
    some = tuple(
        replace(i, counts={"accuracy": tuple((a, b if n % 3 else 0.0) for a, b in i.counts["accuracy"])})
        for n, i in enumerate(SWEEP.items)
    )
    curve = sweep_curve(replace(SWEEP, items=some), "accuracy", SWEEP.curves[0])
    assert curve.items == sum(1 for n, i in enumerate(SWEEP.items) if n % 3 and i.image is not None)


def test_lengths_are_no_percentages_and_many_metrics_stand_beside_each_other() -> None:
    assert is_share(SWEEP, "accuracy")
    assert not is_share(SWEEP, "chair.length")
    assert is_share(replace(SWEEP, dataset="unknown"), "chair.length")
    names = {"accuracy": False, "pope.f1": False, "chair.length": False, "chair.chair_i": True}
    items = tuple(replace(i, counts=dict.fromkeys(names, i.counts["accuracy"])) for i in SWEEP.items)
    sweep = replace(SWEEP, metrics=names, items=items)
    with style():
        figure = draw(sweep, sweep_curves(sweep))
    shown = [axes for axes in figure.axes if axes.axison]
    labels = ["accuracy, %", "pope.f1, %", "chair.length", "chair.chair_i, %,\nlower is better"]
    assert [axes.get_ylabel() for axes in shown] == labels
    assert figure.get_figwidth() == 6.9
    assert max(shown[2].get_lines()[-1].get_ydata()) <= 1
