from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, LlavaForConditionalGeneration

from flowtui.engine import budget, rows
from flowtui.engine.inputs import Inputs
from flowtui.engine.loaded import Loaded
from flowtui.engine.rows import Chunk, Cut, Watch, watch
from flowtui.errors import CancelledError

# Both sides are float32; the largest sum has a few hundred terms, and layers compound it.
TOLERANCE = 1e-5


def eager_weights(loaded: Loaded, inputs: Inputs) -> tuple[Tensor, ...]:
    """Every layer's weights [1 H N N], from a second copy of the model on transformers' own eager attention."""
    model = LlavaForConditionalGeneration.from_pretrained(
        loaded.info.directory, attn_implementation="eager", dtype=torch.float32
    ).eval()
    with torch.no_grad():
        return model(**inputs.model_inputs, output_attentions=True, use_cache=False).attentions


def _read(loaded: Loaded, inputs: Inputs, wanted: Tensor, layers: list[int], **options: object) -> dict[int, Tensor]:
    chunks: dict[int, list[Tensor]] = {}

    def take(chunk: Chunk) -> None:
        assert chunk.start == sum(w.shape[1] for w in chunks.get(chunk.layer, []))
        chunks.setdefault(chunk.layer, []).append(chunk.weights)

    with torch.no_grad(), watch(loaded, Watch(wanted, layers, take, **options)):  # type: ignore[arg-type]
        loaded.model(**inputs.model_inputs, use_cache=False)
    return {layer: torch.cat(parts, 1) for layer, parts in chunks.items()}


@pytest.fixture(scope="module")
def eager(tiny_llava: Loaded, tiny_inputs: Inputs) -> tuple[Tensor, ...]:
    return eager_weights(tiny_llava, tiny_inputs)


def test_all_rows_of_all_layers_match_eager(tiny_llava: Loaded, tiny_inputs: Inputs, eager: tuple[Tensor, ...]) -> None:
    found = _read(tiny_llava, tiny_inputs, torch.arange(tiny_inputs.length), [0, 1, 2, 3])
    assert sorted(found) == [0, 1, 2, 3]
    for layer, weights in found.items():
        torch.testing.assert_close(weights, eager[layer][0], rtol=0, atol=TOLERANCE)
    # The comparison can fail: layers and heads differ by far more than the tolerance.
    assert (eager[0] - eager[1]).abs().max() > 0.05
    assert (eager[2][0, 0] - eager[2][0, 1]).abs().max() > 0.05


def test_only_the_rows_and_layers_asked_for(tiny_llava: Loaded, tiny_inputs: Inputs, eager: tuple[Tensor, ...]) -> None:
    wanted = torch.tensor([5, 160, 7])
    found = _read(tiny_llava, tiny_inputs, wanted, [2])
    assert list(found) == [2]
    torch.testing.assert_close(found[2], eager[2][0][:, wanted], rtol=0, atol=TOLERANCE)


def test_chunks_give_the_same_rows(tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = torch.arange(100, 107)
    whole = _read(tiny_llava, tiny_inputs, wanted, [1, 3])
    sizes: list[int] = []
    monkeypatch.setattr(rows, "rows_per_chunk", lambda _bytes: sizes.append(3) or 3)
    small = _read(tiny_llava, tiny_inputs, wanted, [1, 3])
    assert sizes
    for layer in whole:
        torch.testing.assert_close(small[layer], whole[layer], rtol=0, atol=1e-6)


def test_the_layers_output_stays_as_it_was(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    with torch.no_grad():
        plain = tiny_llava.model(**tiny_inputs.model_inputs).logits
        with watch(tiny_llava, Watch(torch.arange(9), range(4), lambda _chunk: None)):
            watched = tiny_llava.model(**tiny_inputs.model_inputs, use_cache=False).logits
    # The same SDPA call on the same tensors.
    torch.testing.assert_close(watched, plain, rtol=0, atol=1e-6)


def _state(loaded: Loaded) -> tuple[object, ...]:
    return (
        loaded.model.config._attn_implementation,
        loaded.model.config.text_config._attn_implementation,
        loaded.model.config.vision_config._attn_implementation,
        loaded.decoder.config._attn_implementation,
        len(rows._watched),
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in loaded.model.modules()],
        sorted(AttentionInterface._global_mapping),
    )


@pytest.mark.parametrize(
    "error", [None, RuntimeError("a layer failed"), CancelledError("Cancelled."), KeyboardInterrupt()]
)
def test_nothing_is_left_behind(tiny_llava: Loaded, tiny_inputs: Inputs, error: BaseException | None) -> None:
    before = _state(tiny_llava)
    assert before[:4] == ("sdpa", "sdpa", "sdpa", "sdpa")
    during: list[tuple[object, ...]] = []

    def take(_chunk: Chunk) -> None:
        during.append(_state(tiny_llava))
        if error is not None:
            raise error

    def go() -> None:
        with torch.no_grad(), watch(tiny_llava, Watch(torch.tensor([3]), [1], take)):
            tiny_llava.model(**tiny_inputs.model_inputs, use_cache=False)

    if error is None:
        go()
    else:
        with pytest.raises(type(error)):
            go()
    assert _state(tiny_llava) == before
    # The vision tower was never touched, the decoder was.
    assert during[0][2:5] == ("sdpa", "flowtui", 4)


def test_a_model_is_watched_once_at_a_time(tiny_llava: Loaded) -> None:
    what = Watch(torch.tensor([0]), [0], lambda _chunk: None)
    before = _state(tiny_llava)
    with watch(tiny_llava, what):
        inside = _state(tiny_llava)
        with pytest.raises(RuntimeError, match="watched already"), watch(tiny_llava, what):
            pass
        assert _state(tiny_llava) == inside
    assert _state(tiny_llava) == before


def test_a_vision_tower_with_the_same_layer_numbers_is_not_read(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    """The tower has 145 positions and full attention: its rows would not have the sequence's length."""
    found = _read(tiny_llava, tiny_inputs, torch.tensor([0]), [0, 1, 2, 3])
    assert {w.shape for w in found.values()} == {(4, 1, tiny_inputs.length)}


def test_a_cut_removes_the_keys_and_keeps_the_diagonal(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    n = tiny_inputs.length
    hidden = torch.zeros(n, dtype=torch.bool)
    hidden[tiny_inputs.image_positions] = True
    everyone = torch.arange(n)
    full = _read(tiny_llava, tiny_inputs, everyone, [0, 1])
    cut = _read(tiny_llava, tiny_inputs, everyone, [0, 1], cuts={1: Cut(hidden)})
    torch.testing.assert_close(cut[0], full[0], rtol=0, atol=1e-6)
    own = torch.eye(n, dtype=torch.bool)
    gone = hidden[None] & ~own
    assert cut[1][:, gone].abs().max() == 0
    # What is left is what was there, brought back to a sum of one.
    kept = full[1] * ~gone
    torch.testing.assert_close(cut[1], kept / kept.sum(-1, keepdim=True), rtol=0, atol=TOLERANCE)


def test_a_cut_for_some_queries_leaves_the_others(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    n = tiny_inputs.length
    keys, queries = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
    keys[0], queries[150] = True, True
    wanted = torch.tensor([149, 150])
    full = _read(tiny_llava, tiny_inputs, wanted, [2])[2]
    cut = _read(tiny_llava, tiny_inputs, wanted, [2], cuts={2: Cut(keys, queries)})[2]
    torch.testing.assert_close(cut[:, 0], full[:, 0], rtol=0, atol=1e-6)
    assert full[:, 1, 0].max() > 0
    assert cut[:, 1, 0].max() == 0


# The function alone, on every form a mask may come in, against the formula in float64.
Q = 6


def _formula(
    query: Tensor, key: Tensor, allowed: Tensor, scaling: float, softcap: float | None, bias: Tensor | None
) -> Tensor:
    key = key.double().repeat_interleave(query.shape[1] // key.shape[1], 1)
    scores = query.double() @ key.transpose(-1, -2) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias.double()
    return scores.masked_fill(~allowed, -torch.inf).softmax(-1)


WINDOW = torch.ones(Q, Q).tril().bool() & torch.ones(Q, Q).triu(-2).bool()
CAUSAL = torch.ones(Q, Q).tril().bool()
PREFIX = CAUSAL | (torch.arange(Q) < 3)[None]
LOWEST = torch.finfo(torch.float32).min
BIAS = torch.linspace(-1, 1, Q)[None].expand(Q, Q)

MASKS: dict[str, tuple[Tensor | None, Tensor, Tensor | None]] = {
    "none": (None, CAUSAL, None),
    "bool": (CAUSAL[None, None], CAUSAL, None),
    "sliding window": (WINDOW[None, None], WINDOW, None),
    "prefix": (PREFIX[None, None], PREFIX, None),
    "additive": (torch.where(CAUSAL, 0.0, LOWEST)[None, None], CAUSAL, None),
    "additive with a bias": (torch.where(CAUSAL, BIAS, LOWEST)[None, None], CAUSAL, BIAS),
    "longer than the keys": (torch.nn.functional.pad(CAUSAL, (0, 5))[None, None], CAUSAL, None),
    "one for every head": (CAUSAL[None, None].expand(1, 4, Q, Q), CAUSAL, None),
    "one row for all": (torch.ones(1, 1, 1, Q, dtype=torch.bool), torch.ones(Q, Q, dtype=torch.bool), None),
}


class _Attention(nn.Module):
    is_causal = True
    num_key_value_groups = 2


@pytest.mark.parametrize("positional", [True, False])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("mask", MASKS)
def test_every_form_of_mask(mask: str, softcap: float | None, positional: bool) -> None:
    given, allowed, bias = MASKS[mask]
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(1, 4, Q, 8, generator=generator)
    key, value = torch.randn(1, 2, Q, 8, generator=generator), torch.randn(1, 2, Q, 8, generator=generator)
    expected = _formula(query, key, allowed, 0.7, softcap, bias)
    module, found = _Attention(), []
    what = Watch(torch.arange(Q), [5], found.append)
    rows._watched[module] = (5, what)
    options = {"scaling": 0.7, "dropout": 0.0, "softcap": softcap, "position_ids": None}
    try:
        if positional:
            output, none = rows._attention(module, query, key, value, given, **options)
        else:
            output, none = rows._attention(module, query, key, value, attention_mask=given, **options)
    finally:
        rows._watched.pop(module)
    assert none is None
    # float32 against float64, sums of eight terms.
    torch.testing.assert_close(found[0].weights.double(), expected[0], rtol=0, atol=1e-6)
    repeated = value.double().repeat_interleave(2, 1)
    torch.testing.assert_close(output.double(), (expected @ repeated).transpose(1, 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[0].value_norm.double(), repeated[0].norm(dim=-1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mask", ["none", "bool", "additive", "additive with a bias"])
def test_a_cut_works_on_every_form_of_mask(mask: str) -> None:
    given, allowed, bias = MASKS[mask]
    query, key, value = torch.randn(1, 4, Q, 8), torch.randn(1, 2, Q, 8), torch.randn(1, 2, Q, 8)
    keys = torch.tensor([True, True, False, False, False, False])
    expected = _formula(query, key, allowed & (~keys[None] | torch.eye(Q).bool()), 0.7, None, bias)
    module, found = _Attention(), []
    rows._watched[module] = (0, Watch(torch.arange(Q), [0], found.append, {0: Cut(keys)}))
    try:
        output, _ = rows._attention(module, query, key, value, given, scaling=0.7)
    finally:
        rows._watched.pop(module)
    torch.testing.assert_close(found[0].weights.double(), expected[0], rtol=0, atol=1e-6)
    repeated = value.double().repeat_interleave(2, 1)
    torch.testing.assert_close(output.double(), (expected @ repeated).transpose(1, 2), rtol=0, atol=1e-5)


def test_full_attention_without_a_mask() -> None:
    query, key, value = torch.randn(1, 4, Q, 8), torch.randn(1, 2, Q, 8), torch.randn(1, 2, Q, 8)
    expected = _formula(query, key, torch.ones(Q, Q, dtype=torch.bool), 0.7, None, None)
    output, _ = rows._attention(_Attention(), query, key, value, None, scaling=0.7, is_causal=False)
    repeated = value.double().repeat_interleave(2, 1)
    torch.testing.assert_close(output.double(), (expected @ repeated).transpose(1, 2), rtol=0, atol=1e-5)


def test_soft_capped_attention_is_differentiated_without_keeping_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunk by chunk, against the formula in float64."""
    given, allowed, _ = MASKS["sliding window"]
    tensors = [torch.randn(1, h, Q, 8, requires_grad=True) for h in (4, 2, 2)]
    exact = [t.detach().double().requires_grad_() for t in tensors]
    expected = _formula(exact[0], exact[1], allowed, 0.7, 2.0, None) @ exact[2].repeat_interleave(2, 1)
    expected.sin().sum().backward()
    monkeypatch.setattr(rows, "rows_per_chunk", lambda _bytes: 4)
    kept: list[tuple[int, ...]] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, lambda t: t):
        output, _ = rows._attention(_Attention(), *tensors, given, scaling=0.7, softcap=2.0)
    assert not [shape for shape in kept if shape[-1:] == (Q,)]
    output.sin().sum().backward()
    for tensor, one in zip(tensors, exact, strict=True):
        torch.testing.assert_close(tensor.grad.double(), one.grad, rtol=0, atol=1e-5)  # type: ignore[union-attr]


@pytest.mark.parametrize("mask", MASKS)
def test_rows_reach_no_further_than_their_last_key(mask: str) -> None:
    given, allowed, bias = MASKS[mask]
    query, key = torch.randn(1, 4, Q, 8), torch.randn(1, 2, Q, 8)
    given = None if given is None else given[..., :Q]
    scores = rows.Scores(query, key, given, 0.7, given is None, None)
    expected = _formula(query, key, allowed, 0.7, None, bias)
    for wanted in (torch.tensor([0]), torch.tensor([3, 1])):
        reach = scores.reach(wanted)
        torch.testing.assert_close(
            scores.weights(wanted, reach).double(), expected[:, :, wanted, :reach], rtol=0, atol=1e-6
        )
        assert expected[:, :, wanted, reach:].sum() == 0
    if mask in ("none", "bool", "sliding window"):
        assert scores.reach(torch.tensor([1, 3])) == 4


def test_an_output_may_be_replaced(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    """Every layer's output is handed over, and what comes back goes on."""
    seen: list[int] = []

    def nothing(layer: int, scores: rows.Scores, value: Tensor, output: Tensor) -> Tensor:
        seen.append(layer)
        assert output.shape == (1, tiny_inputs.length, 4, 8)
        assert value.shape == scores.key.shape == (1, 2, tiny_inputs.length, 8)
        return torch.zeros_like(output)

    with torch.no_grad(), watch(tiny_llava, Watch(torch.arange(0), [], None, on_output=nothing)):
        first = tiny_llava.model(**tiny_inputs.model_inputs, use_cache=False).logits[0, -1]
        ids = tiny_inputs.model_inputs["input_ids"].clone()
        ids[0, -2] = ids[0, 1]
        other = tiny_llava.model(**{**tiny_inputs.model_inputs, "input_ids": ids}, use_cache=False).logits[0, -1]
    assert seen == [0, 1, 2, 3] * 2
    # Without attention nothing passes from one position to another.
    torch.testing.assert_close(first, other, rtol=0, atol=1e-6)


def test_a_pass_with_a_cache_is_refused() -> None:
    module = _Attention()
    rows._watched[module] = (0, Watch(torch.tensor([0]), [0], lambda _chunk: None))
    try:
        with pytest.raises(RuntimeError, match="without a key-value cache"):
            rows._attention(module, torch.randn(1, 4, 1, 8), torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8), None)
    finally:
        rows._watched.pop(module)


def test_no_tensor_of_all_rows_of_all_heads_is_made(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for one row at a time, no [head row key] tensor has two rows."""
    monkeypatch.setattr(budget, "_chunk_bytes", SimpleNamespace(get=lambda: 1))
    sizes: set[int] = set()
    what = Watch(torch.arange(20), range(4), lambda chunk: sizes.add(chunk.weights.shape[1]))
    with torch.no_grad(), watch(tiny_llava, what):
        tiny_llava.model(**tiny_inputs.model_inputs, use_cache=False)
    assert sizes == {1}
