"""`flowtui models`: the table of the families."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flowtui.engine.families import FAMILIES, OTHERS
from flowtui.engine.fit import Fit, Need
from flowtui.engine.results import Prepared
from flowtui.tui.cli import entry
from flowtui.tui.cli.models import NAME_CELLS, describe, show_report
from tests.factories import random_run


def test_every_family_is_listed_with_its_grid_and_what_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    said: dict[str, list[str]] = {}
    for line in lines:
        name = line[:NAME_CELLS].strip() or name  # noqa: F821 - the first line has a name
        said.setdefault(name, []).append(line[NAME_CELLS:])
    assert list(said) == [*FAMILIES, OTHERS.model_type]
    for name, family in FAMILIES.items():
        text = " ".join(said[name])
        assert family.title in text
        assert (f"Refused: {family.refused}." if family.refused else f"{family.grid} {family.note}".strip()) in text


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(["models", "--json"]) == 0
    rows = {row["family"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == [*FAMILIES, OTHERS.model_type]
    assert rows["llava"]["status"] == "supported"
    assert rows["mllama"]["status"] == "refused"
    assert "cross-attention" in rows["mllama"]["refused"]
    assert rows[OTHERS.model_type]["status"] == "generic"
    assert rows["qwen2_vl"]["grid"] == FAMILIES["qwen2_vl"].grid


NEEDS = (
    Need("attention", 2 << 20, 1 << 20, 64 << 20, False, 1.2, True),
    Need("cam", 5 << 30, 1 << 30, 256 << 10, True, 100, True),
    Need("truncation", 5 << 30, 90 << 30, 256 << 10, False, 2, False),
)
FIT = Fit("demo", "float32", "cpu", 13 << 30, True, 20 << 30, 640, 576, 64, 3 << 20, 0.5, NEEDS)


def test_a_check_tells_what_each_analysis_takes() -> None:
    run = random_run(analyses=())
    prepared = Prepared(run.model, run.tokens, run.answer, run.image_sizes)
    report = describe(prepared, {"load": 1.0, "prepare": 1.0}, FIT)
    memory = json.loads(json.dumps(report))["memory"]
    assert (memory["weights_bytes"], memory["free_bytes"], memory["pass_seconds"]) == (13 << 30, 20 << 30, 0.5)
    assert [(row["analysis"], row["bytes"], row["seconds"]) for row in memory["analyses"]] == [
        ("attention", 3 << 20, 0.6),
        ("cam", 6 << 30, 50.0),
        ("truncation", 95 << 30, 1.0),
    ]
    lines = show_report(report).splitlines()
    assert max(map(len, lines)) <= 100
    assert "memory     13.0 GiB of weights, 20.0 GiB free beside them" in lines
    assert "one pass   3.0 MiB and 500 ms, over 640 tokens, 64 of them the answer" in lines
    attention, cam, truncation = lines[-3:]
    assert attention.split() == ["attention", "2.0", "MiB", "1.0", "MiB", "600", "ms"]
    assert cam.endswith("50 s  layers computed twice, chunks of 256.0 KiB")
    assert truncation.endswith("does not fit")


def test_a_check_without_estimates_or_times_says_so() -> None:
    run = random_run(analyses=())
    prepared = Prepared(run.model, run.tokens, run.answer, run.image_sizes)
    report = describe(prepared, {"load": 1.0, "prepare": 1.0}, None)
    assert report["memory"] is None
    assert "memory" not in show_report(report)
    untimed = describe(prepared, {"load": 1.0, "prepare": 1.0}, replace(FIT, pass_s=None))
    assert untimed["memory"]["analyses"][0]["seconds"] is None
    assert show_report(untimed).splitlines()[-3].split()[-1] == "-"
