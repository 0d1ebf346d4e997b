from __future__ import annotations

from dataclasses import replace

import pytest

from flowtui.engine.results import Run
from flowtui.tui.blocks import further_blocks, token_blocks
from flowtui.tui.masks import mask_of_box
from flowtui.tui.summary import Summary, summarise
from tests.factories import random_run


def block(summary: Summary, name: str) -> list[str]:
    """The lines of the block with this title, up to the next empty line."""
    lines = further_blocks(summary)
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{name}:"))
    return lines[start : lines.index("", start) if "" in lines[start:] else None]


def cells(lines: list[str], layers: int) -> list[list[str]]:
    """The cells of a block's layers, without the layer."""
    rows = [line.split() for line in lines[2 : 2 + layers]]
    assert [int(row[0]) for row in rows] == list(range(layers))
    return [row[1:] for row in rows]


def test_knockout_is_the_change_of_the_log_probability() -> None:
    summary = summarise(random_run())
    lines = block(summary, "knockout")
    assert "in 5 layers around it" in lines[0]
    edges = summary["knockout"]["edges"]
    assert lines[1].split()[1:] == list(edges)
    for layer, row in enumerate(cells(lines, 12)):
        assert row == [f"{edge['logprob'][layer]:+.3f}" for edge in edges.values()]


def test_areas_stand_beside_those_of_random_orders() -> None:
    summary = summarise(random_run())
    lines = block(summary, "faithfulness")
    maps, random = summary["faithfulness"]["maps"], summary["faithfulness"]["random"]
    rows = cells(lines, 12)
    for layer in range(11):
        shown = [judged[f"{curve}_auc"][layer] for judged in maps.values() for curve in ("deletion", "insertion")]
        assert rows[layer] == [f"{area:.3f}" for area in shown]
    # The CAM of the last layer is zero: it has no order, and no area.
    assert rows[11][:2] == ["-", "-"]
    assert f"{random['deletion_auc']:.3f}" in lines[-1]
    assert f"{random['insertion_auc']:.3f}" in lines[-1]


def test_maps_are_judged_where_a_mask_is_known() -> None:
    run = random_run()
    assert not any(line.startswith("mask") for line in further_blocks(summarise(run)))
    summary = summarise(run, mask=mask_of_box(run, (0, 0, 48, 96)))
    lines = block(summary, "mask")
    assert "0.500 of image 1" in lines[0]
    for layer, row in enumerate(cells(lines, 12)):
        hit, mass = summary["cam"]["pointing"][layer], summary["cam"]["mass_in_box"][layer]
        assert row[:2] == (["-", "-"] if hit is None else ["yes" if hit else "no", f"{mass:.3f}"])


def test_saliency_has_its_flows_and_peaks() -> None:
    summary = summarise(random_run())
    for layer, row in enumerate(cells(block(summary, "saliency"), 12)):
        assert float(row[0]) == pytest.approx(summary["saliency"]["flow"]["image->answer"][layer], rel=0.06)
        assert row[3] == "{},{}".format(*summary["saliency"]["peak"][layer])


def without_layer(run: Run, layer: int) -> Run:
    for analysis in run.analyses.values():
        run = run.with_analysis(replace(analysis, layers={k: v for k, v in analysis.layers.items() if k != layer}))
    return run


def test_missing_layers_are_dashes_and_missing_analyses_no_block() -> None:
    run = without_layer(random_run(layers=4), 2)
    summary = summarise(run, mask=mask_of_box(run, (0, 0, 48, 96)))
    for name in ("saliency", "knockout", "faithfulness", "mask"):
        assert set(cells(block(summary, name), 4)[2]) == {"-"}
    assert further_blocks(summarise(random_run(analyses=("attention", "truncation")))) == []


@pytest.mark.parametrize("layer", [None, 0, 11])
def test_no_line_is_wider_than_80_cells(layer: int | None) -> None:
    run = random_run()
    summary = summarise(run, layer, mask_of_box(run, (0, 0, 48, 96)))
    assert max(map(len, [*further_blocks(summary), *token_blocks(summary)])) <= 80


def test_one_layer_has_its_tokens_and_curves() -> None:
    summary = summarise(random_run(), 3)
    assert [line.split()[0] for line in further_blocks(summary) if line.startswith(" ")] == ["3"] * 4
    lines = token_blocks(summary)
    for i, token in enumerate(summary["answer"]["tokens"]):
        (row,) = (line.split() for line in lines[: lines.index("", 1)] if line.split()[:1] == [token])
        edges = summary["knockout"]["edges"]
        assert row[1:] == [f"{edge['answer_tokens'][i]:+.3f}" for edge in edges.values()]
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["insertion"])
    assert lines[start].split()[1:] == ["cam", "attention", "saliency", "random"]
    maps, random = summary["faithfulness"]["maps"], summary["faithfulness"]["random"]
    for i, line in enumerate(lines[start + 1 : lines.index("", start)]):
        values = [*(curves["insertion"][i] for curves in maps.values()), random["insertion"][i]]
        assert line.split() == [f"{v:.3f}" for v in (summary["faithfulness"]["fraction"][i], *values)]
    assert token_blocks(summarise(random_run())) == []


def test_the_untouched_model_has_no_block() -> None:
    assert further_blocks(summarise(random_run(), 12)) == []
    assert token_blocks(summarise(random_run(), 12)) == []


def test_a_token_cannot_steer_the_terminal() -> None:
    run = random_run(answer=("\x1b[2J", "x\ny"))
    assert all(c.isprintable() for line in token_blocks(summarise(run, 1)) for c in line)


def test_the_lens_says_what_the_model_would() -> None:
    summary = summarise(random_run())
    lens = summary["lens"]
    for layer, row in enumerate(cells(block(summary, "lens"), 12)):
        p = (lens["prob"][layer][0] * lens["prob"][layer][1] * lens["prob"][layer][2]) ** (1 / 3)
        assert row[:2] == [str(max(lens["rank"][layer])), f"{p:.3f}"]
        assert " ".join(row[2:]) == " ".join(lens["top"][layer][t][0][0] for t in range(3))
    assert " ".join(cells(block(summary, "lens"), 12)[11][2:]) == "a red circle"


def test_one_layer_lists_guesses_and_counts_the_image_tokens() -> None:
    summary = summarise(random_run(), 4)
    lines = token_blocks(summary)
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["lens"])
    text, p = summary["lens"]["top"][0][1][0]
    assert lines[start + 2].split()[0] == "red"
    assert lines[start + 2].split()[3:5] == [text, f"{p:.2f},"]
    said = [cell[0] for row in summary["lens"]["image_tokens"][0] for cell in row]
    first = lines[-1].removeprefix("image tokens say: ").split(", ")[0]
    name, count = first.rsplit(" ", 1)
    assert said.count(name) == int(count) == max(map(said.count, said))


def test_a_run_without_an_answer_or_image_tokens_has_no_guesses() -> None:
    run = random_run(answer=(), analyses=("lens",))
    assert not [line for line in token_blocks(summarise(run, 4)) if "lens" in line]
    assert cells(block(summarise(run), "lens"), 12)[0] == ["-", "-", "-"]
