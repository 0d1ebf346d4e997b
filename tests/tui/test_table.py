from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from flowtui.engine.results import GROUPS
from flowtui.tui.masks import mask_of_box
from flowtui.tui.summary import summarise
from flowtui.tui.table import COLUMNS, rows, to_csv, to_text
from tests.factories import random_run


def test_csv_has_a_row_per_layer_and_one_for_the_untouched_model() -> None:
    run = random_run()
    content = summarise(run)
    table = list(csv.DictReader(io.StringIO(to_csv(content))))
    assert tuple(table[0]) == COLUMNS
    assert [int(row["layer"]) for row in table] == list(range(13))
    for layer in range(12):
        for group in GROUPS:
            assert float(table[layer][group]) == content["attention"]["share"][group][layer]
        assert int(table[layer]["lens_rank"]) == max(content["lens"]["rank"][layer])
        assert table[layer]["lens_text"] == " ".join(top[0][0] for top in content["lens"]["top"][layer])
        for group in ("image", "system", "user"):
            flow = content["saliency"]["flow"][f"{group}->answer"][layer]
            assert float(table[layer][f"saliency_{group}_answer"]) == flow
        assert [int(table[layer][f"saliency_{axis}"]) for axis in ("row", "col")] == content["saliency"]["peak"][layer]
        for edge in ("image_answer", "image_user", "user_answer", "system_answer"):
            lost = content["knockout"]["edges"][edge.replace("_", "->")]["logprob"][layer]
            assert float(table[layer][f"knockout_{edge}"]) == lost
        for curve in ("deletion_auc", "insertion_auc"):
            for name, judged in content["faithfulness"]["maps"].items():
                # The last layer's CAM is zero: it has no order, and no area.
                shown = str(judged[curve][layer]) if (name, layer) != ("cam", 11) else ""
                assert table[layer][f"{name}_{curve}"] == shown
    assert float(table[12]["k_logprob"]) == content["truncation"]["logprob"][12]
    assert table[12]["system"] == table[12]["cam_row"] == table[12]["saliency_image_answer"] == ""


def test_csv_judges_the_maps_where_a_mask_is_known() -> None:
    run = random_run()
    content = summarise(run, mask=mask_of_box(run, (0, 0, 48, 96)))
    table = list(csv.DictReader(io.StringIO(to_csv(content))))
    for name in ("cam", "attention", "saliency"):
        for by in ("pointing", "mass_in_box"):
            shown = ["" if v is None else str(v) for v in (*content[name][by], None)]
            assert [row[f"{name}_{by}"] for row in table] == shown


def test_text_has_answer_cliff_and_every_layer() -> None:
    text = to_text(summarise(random_run()))
    lines = text.splitlines()
    assert "a red circle" in lines[1]
    assert "K = 7" in lines[2]
    start = next(i for i, line in enumerate(lines) if line.startswith("layer"))
    assert [int(line.split()[0]) for line in lines[start + 1 : start + 14]] == list(range(13))
    assert [line for line in lines if line.endswith("<- cliff")] == [lines[start + 1 + 7]]


def test_no_cliff_is_said_not_forced() -> None:
    text = to_text(summarise(random_run(cliff=None)))
    assert "no cliff" in text
    assert "<-" not in text


def test_missing_analyses_are_named_and_leave_no_columns() -> None:
    text = to_text(summarise(random_run(analyses=("cam",))))
    assert "missing  attention, saliency, truncation, lens, knockout, faithfulness\n" in text
    assert "image cut" not in text


@pytest.mark.parametrize("layer", [0, 11, 12])
def test_one_layer_is_one_row(layer: int) -> None:
    summary = summarise(random_run(), layer)
    (row,) = rows(summary)
    assert row["layer"] == layer
    assert row == rows(summarise(random_run()))[layer]


def test_one_layer_adds_heads_and_heat() -> None:
    text = to_text(summarise(random_run(), 3))
    assert "head" in text
    assert "99 = the map's maximum" in text
    assert "saliency, 99 = the map's maximum" in text
    assert "zero at every cell" in to_text(summarise(random_run(), 11))


def test_nothing_from_the_model_steers_the_terminal() -> None:
    run = random_run(answer=("\x1b]52;c;aGk=\x07", "\u202e", "x\ny"))
    run = replace(run, answer=replace(run.answer, text="\x1b[2J\x9b"), model=replace(run.model, name="\x1b[31m"))
    for out in (to_text(summarise(run)), to_text(summarise(run, 3)), to_csv(summarise(run))):
        assert all(c.isprintable() or c == "\n" for c in out)
