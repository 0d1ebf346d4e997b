"""The table of the families: the command that measures, and docs/models.md against the registry."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from flowtui.engine.families import FAMILIES as KNOWN
from flowtui.engine.families import OTHERS
from flowtui.engine.spec import ANALYSES
from tests.engine.families import __main__, table
from tests.engine.families.oracle import TOLERANCE, Outcome
from tests.engine.families.table import BEGIN, DOCUMENT, END, Row, as_text, line_of


def lines_of(text: str) -> dict[str, list[str]]:
    """Family -> the cells of its line."""
    body = text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body]
    return {row[0].strip("`"): row for row in cells}


def test_the_document_names_the_registrys_families() -> None:
    """All but the digits, which are of the machine that measured."""
    rows = lines_of(DOCUMENT.read_text())
    assert list(rows) == [*KNOWN, OTHERS.model_type]
    for name, family in KNOWN.items():
        _, title, analyses, error, grid, know = rows[name]
        assert (title, grid) == (family.title, family.grid)
        assert know == (f"Refused: {family.refused}." if family.refused else family.note)
        assert (analyses == "refused") == bool(family.refused)
        assert analyses != "not measured"
        assert error == "-" if family.refused else float(error) <= TOLERANCE
    assert all(name in DOCUMENT.read_text() for name in ANALYSES)


def test_what_the_document_says_of_the_papers_other_models() -> None:
    assert not {"qwen", "qwen_vl", "shikra", "internvl_chat"} & set(CONFIG_MAPPING_NAMES)
    assert {"llava", "llava_next", "instructblip", "internvl", "qwen2_vl"} <= set(KNOWN)


def test_the_command_measures_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "models.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.setattr(table, "DOCUMENT", document)
    monkeypatch.setattr(table, "KNOWN", {name: KNOWN[name] for name in ("llava", "mllama")})
    monkeypatch.setattr(table, "FAMILIES", {"llava": table.FAMILIES["llava"]})
    monkeypatch.setattr(sys, "argv", ["families", "--write"])
    assert __main__.main() == 0
    out = capsys.readouterr().out
    assert "largest error" in out
    assert "8 analyses measured" in out
    assert "refused: it feeds images through cross-attention" in out
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    rows = lines_of(text)
    assert rows["llava"][2] == "all"
    assert 0 < float(rows["llava"][3]) <= TOLERANCE
    assert rows["mllama"][2:4] == ["refused", "-"]


def test_an_error_that_is_too_large_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Row(KNOWN["llava"], {"cam": (Outcome(1e-6), Outcome(2e-4))})
    monkeypatch.setattr(__main__, "measure_all", lambda report: [bad])
    monkeypatch.setattr(__main__, "write_document", lambda rows: pytest.fail("written"))
    monkeypatch.setattr(sys, "argv", ["families", "--write"])
    assert __main__.main() == 1
    assert "llava" in capsys.readouterr().err
    nan = Row(KNOWN["llava"], {"cam": (Outcome(float("nan")),)})
    monkeypatch.setattr(__main__, "measure_all", lambda report: [nan])
    assert __main__.main() == 1


def test_what_is_refused_or_missing_is_said() -> None:
    partly = Row(KNOWN["llava"], {"cam": (Outcome(1e-6),), "lens": (Outcome(None, "It has no head."),)})
    assert partly.analyses == "all but lens (It has no head)"
    assert "1e-06" in line_of(partly)
    missing = Row(KNOWN["llama4"], {}, "torchvision is not here")
    assert missing.analyses == "not measured"
    text = as_text([partly, missing])
    assert "refused" in text
    assert "not measured here: torchvision is not here" in text
