from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from flowtui.engine.inputs import Inputs
from flowtui.engine.loaded import Loaded
from flowtui.engine.queries import QueryMap, Step, last, query_map, read_steps, rollout
from flowtui.errors import UnsupportedModelError
from tests.engine.families.fixed import QUERIES
from tests.engine.families.test_fixed_grids import load, patches_alone, png_of, prepare_with
from tests.engine.oracles import hooks_left

NAMES = ("instructblip", "blip-2")
SIZE = (150, 70)


def _map(loaded: Loaded, inputs: Inputs, **options: Any) -> QueryMap:
    return query_map(loaded, inputs.model_inputs, SIZE, **options)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_cross_attention_by_hand(name: str) -> None:
    """Softmax of query times key, from the weights of the last layer that has cross-attention."""
    loaded = load(name)
    inputs = prepare_with(loaded, png_of(SIZE))
    model: Any = loaded.model
    attention = model.qformer.encoder.layer[2].crossattention.attention
    assert not hasattr(model.qformer.encoder.layer[3], "crossattention")
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(_: object, __: object, kwargs: dict[str, Any]) -> None:
        seen.append((kwargs["hidden_states"][0], kwargs["encoder_hidden_states"][0]))

    hook = attention.register_forward_pre_hook(look, with_kwargs=True)
    found = _map(loaded, inputs)
    hook.remove()
    hidden, patches = seen[0]
    with torch.no_grad():
        query, key = attention.query(hidden), attention.key(patches)
        heads = [(query[:, h : h + 8] @ key[:, h : h + 8].T / math.sqrt(8)).softmax(-1) for h in range(0, 16, 8)]
    expected = np.asarray(torch.stack(heads).mean(0))
    assert found.weights.shape == (QUERIES, 8, 8)
    assert found.weights.reshape(QUERIES, 64) == pytest.approx(expected[:, 1:], abs=1e-6)
    assert found.elsewhere == pytest.approx(expected[:, 0], abs=1e-6)
    # Not so even that any order would do.
    assert found.weights.max() > 1.5 / 65


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reading", ["last", "rollout"])
def test_each_query_looks_somewhere(name: str, reading: str) -> None:
    loaded = load(name)
    inputs = prepare_with(loaded, png_of(SIZE))
    before = loaded.model.config.qformer_config._attn_implementation
    found = _map(loaded, inputs, reading=reading)
    assert found.weights.min() >= 0
    assert found.weights.sum((1, 2)) + found.elsewhere == pytest.approx(np.ones(QUERIES), abs=1e-6)
    assert found.box_px == (0, 0, *SIZE)
    assert loaded.model.config.qformer_config._attn_implementation == before
    assert hooks_left(loaded.model) == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_map_s_cells_are_the_patches_at_their_places(name: str) -> None:
    """Of all keys that the cross-attention is given, those change whose cell in the map was blackened."""
    loaded = load(name)
    model: Any = loaded.model
    attention = model.qformer.encoder.layer[0].crossattention.attention
    keys: list[torch.Tensor] = []
    hook = attention.register_forward_pre_hook(
        lambda _, __, kwargs: keys.append(kwargs["encoder_hidden_states"][0]), with_kwargs=True
    )
    with patches_alone(loaded, model.vision_model):
        found = _map(loaded, prepare_with(loaded, png_of(SIZE)))
        left, top, right, bottom = found.box_px
        width, height = (right - left) / 8, (bottom - top) / 8
        row, col = 2, 5
        black = (col * width, row * height, (col + 1) * width, (row + 1) * height)
        keys.clear()
        for image in (png_of(SIZE), png_of(SIZE, tuple(map(round, black)))):  # type: ignore[arg-type]
            read_steps(loaded, prepare_with(loaded, image).model_inputs)
    hook.remove()
    # Preparing an answer runs the model too: the two readings are the last of each image.
    change = (keys[len(keys) // 2 - 1] - keys[-1]).abs().amax(-1)
    assert change.argmax() == 1 + row * 8 + col


def _step(cross: bool, *rows: list[float]) -> Step:
    return Step(cross, torch.tensor(rows))


def test_rollout_worked_by_hand() -> None:
    """Two queries, one token of text, two keys."""
    steps = [
        _step(False, [1.0, 0, 0], [0, 1, 0], [0, 0, 1]),
        _step(True, [1.0, 0], [0.5, 0.5]),
        _step(False, [0.0, 1, 0], [0, 0, 1], [1, 0, 0]),
        _step(True, [0.0, 1], [0, 1]),
    ]
    # The first cross-attention gives (.5, 0), (.25, .25) and nothing to the text. Self-attention halves that and adds
    # half of what it reads: (.375, .125), (.125, .125). The second gives (.1875, .5625), (.0625, .5625).
    expected = [[0.1875 / 0.75, 0.5625 / 0.75], [0.0625 / 0.625, 0.5625 / 0.625]]
    assert np.asarray(rollout(steps)) == pytest.approx(np.array(expected), abs=1e-6)
    assert last(steps).tolist() == [[0, 1], [0, 1]]


def test_one_cross_attention_alone_rolls_out_to_itself() -> None:
    cross = _step(True, [0.2, 0.8], [0.7, 0.3])
    assert np.asarray(rollout([cross])) == pytest.approx(np.asarray(cross.weights), abs=1e-6)


def test_projection() -> None:
    weights = np.zeros((2, 1, 2), dtype=np.float32)
    weights[0, 0] = 0.5, 0.25
    weights[1, 0] = 0.0, 1.0
    found = QueryMap(weights, np.array([0.25, 0], dtype=np.float32), (0, 0, 2, 1))
    assert found.project(np.array([[4.0, 2.0], [0.0, 1.0]])).tolist() == [[[2.0, 3.0]], [[0.0, 1.0]]]


def test_the_question_reaches_instructblip_s_queries() -> None:
    """Its Q-Former reads the question beside the image: as many rows more as the question has tokens."""
    loaded = load("instructblip")
    inputs = prepare_with(loaded, png_of(SIZE))
    steps = read_steps(loaded, inputs.model_inputs)
    assert [step.cross for step in steps] == [False, True, False, False, True, False]
    own = QUERIES + inputs.model_inputs["qformer_input_ids"].shape[1]
    assert {step.weights.shape for step in steps} == {(own, own), (QUERIES, 65)}


def test_without_a_q_former(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    with pytest.raises(UnsupportedModelError, match="no Q-Former"):
        query_map(tiny_llava, tiny_inputs.model_inputs, (96, 96))
