"""`flowtui models`: the table of the families."""

from __future__ import annotations

import json

import pytest

from flowtui.engine.families import FAMILIES, OTHERS
from flowtui.tui.cli import entry
from flowtui.tui.cli.models import NAME_CELLS


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
