from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flowtui.engine.results import Run, Span
from flowtui.errors import RunFileError
from flowtui.tui.summary import summarise
from tests.factories import random_run


def test_tokens_are_texts_with_probabilities() -> None:
    run = random_run(layers=3)
    content = summarise(run)["lens"]
    assert content["image"] is True
    for layer, result in run.analyses["lens"].layers.items():
        texts = json.loads(result.text)
        for t in range(3):
            ids, probs = result.arrays["ids"][t], result.arrays["probs"][t]
            assert content["top"][layer][t] == [[texts[str(i)], float(p)] for i, p in zip(ids, probs, strict=True)]
            assert content["rank"][layer][t] == int(result.arrays["rank"][t])
            assert content["prob"][layer][t] == float(result.arrays["prob"][t])
    assert "image_tokens" not in content


def test_one_layer_has_the_token_of_every_patch() -> None:
    run = random_run(layers=3, grid=(4, 5))
    one, everything = summarise(run, 1)["lens"], summarise(run)["lens"]
    assert one["top"] == [everything["top"][1]]
    result = run.analyses["lens"].layers[1]
    texts = json.loads(result.text)
    (grid,) = one["image_tokens"]
    assert [len(row) for row in grid] == [5] * 4
    for cell in range(20):
        text, prob = grid[cell // 5][cell % 5]
        assert text == texts[str(result.arrays["image_ids"][cell])]
        assert prob == float(result.arrays["image_probs"][cell])


def test_separators_are_no_patches_and_tokens_without_a_grid_are_a_list() -> None:
    run = random_run(layers=1, grid=(4, 5))
    # 2 x 3 patches with a separator after each row, and twelve tokens without a grid.
    spans = (Span(0, 14, 22, 2, 3, 4, (0, 0, 9, 9)), Span(1, 22, 34, 0, 0, 0, (0, 0, 9, 9)))
    run = replace(run, tokens=replace(run.tokens, spans=spans))
    first, second = summarise(run, 0)["lens"]["image_tokens"]
    probs = run.analyses["lens"].layers[0].arrays["image_probs"].astype(float).tolist()
    assert [[cell[1] for cell in row] for row in first] == [probs[0:3], probs[4:7]]
    assert [cell[1] for cell in second] == probs[8:20]


def test_without_image_tokens_and_missing_layers() -> None:
    run = random_run(layers=4)
    analysis = run.analyses["lens"]
    layers = {
        k: replace(r, arrays={name: a for name, a in r.arrays.items() if not name.startswith("image")})
        for k, r in analysis.layers.items()
        if k != 2
    }
    run = run.with_analysis(replace(analysis, layers=layers))
    content = summarise(run)["lens"]
    assert content["image"] is None
    for name in ("top", "rank", "prob"):
        assert [i for i, value in enumerate(content[name]) if value is None] == [2]
    assert "image_tokens" not in summarise(run, 1)["lens"]
    assert summarise(run, 4)["lens"]["top"] == []


def test_content_survives_the_run_file_and_an_answer_without_tokens() -> None:
    run = random_run()
    assert summarise(Run.from_plain(run.to_plain()))["lens"] == summarise(run)["lens"]
    assert summarise(random_run(answer=(), analyses=("lens",)))["lens"]["top"][0] == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"1": 2}'])
def test_a_run_whose_tokens_have_no_texts_is_refused(text: str) -> None:
    run = random_run(layers=2)
    analysis = run.analyses["lens"]
    bad = run.with_analysis(replace(analysis, layers={0: replace(analysis.layers[0], text=text)}))
    with pytest.raises(RunFileError):
        Run.from_plain(bad.to_plain())
