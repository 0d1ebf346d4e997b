"""The paper's figures: files, their data, and what they say of themselves."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowtui.errors import UsageError
from flowtui.tui.figures import FIGURES, write_figures
from tests.factories import random_run

RUN = random_run()
THERE = [name for name, plate in FIGURES.items() if plate.needs in RUN.analyses]
COMMAND = "flowtui export run.pkl --figure all"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_every_figure_has_its_data_beside_it_and_its_command_inside(tmp_path: Path, format: str) -> None:
    written = write_figures(RUN, [], format, tmp_path, COMMAND)
    assert [p.name for p in written] == [f"figure-{n}.{ext}" for n in THERE for ext in (format, "csv")]
    for path in written[::2]:
        if format == "png":
            with Image.open(path) as picture:
                assert picture.info["Description"] == COMMAND
                # 300 pixels an inch over a column or the page.
                assert picture.width in (990, 2070)
                assert np.ptp(np.asarray(picture.convert("L"))) > 100
        else:
            assert COMMAND.encode() in path.read_bytes()


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    for format in ("svg", "pdf"):
        first = [p.read_bytes() for p in write_figures(RUN, [], format, tmp_path / "a", COMMAND)]
        assert first == [p.read_bytes() for p in write_figures(RUN, [], format, tmp_path / "b", COMMAND)]


def test_data_are_the_runs_own_numbers(tmp_path: Path) -> None:
    write_figures(RUN, ["2a", "3", "5"], "svg", tmp_path, COMMAND)
    shares = rows_of(tmp_path / "figure-2a.csv")
    assert len(shares) == 12
    assert float(shares[4]["image"]) == pytest.approx(
        float(RUN.analyses["attention"].layers[4].arrays["share"][..., 1].mean(dtype=np.float64))
    )
    maps = rows_of(tmp_path / "figure-3.csv")
    heat = RUN.analyses["cam"].layers[2].arrays["heat"][0].reshape(12, 12)
    cell = next(r for r in maps if (r["layer"], r["row"], r["col"]) == ("2", "3", "7"))
    # float32, written with as many digits as it takes.
    assert np.float32(cell["heat"]) == heat[3, 7]
    curve = rows_of(tmp_path / "figure-5.csv")
    assert [row["k"] for row in curve] == [str(k) for k in range(13)]


def test_what_cannot_be_drawn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no figure '7'"):
        write_figures(RUN, ["7"], "svg", tmp_path, COMMAND)
    with pytest.raises(UsageError, match="no cam results") as caught:
        write_figures(random_run(analyses=()), ["3"], "svg", tmp_path, COMMAND)
    assert "precompute" in caught.value.hint
    with pytest.raises(UsageError, match="'csv'"):
        write_figures(RUN, ["3"], "csv", tmp_path, COMMAND)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib") as caught:
        write_figures(RUN, ["3"], "svg", tmp_path, COMMAND)
    assert "flowtui[figures]" in caught.value.hint
