from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from flowtui.engine import _decode, _walk, truncation
from flowtui.engine.cliff import find_cliff
from flowtui.engine.inputs import Inputs, decode_answer, prepare
from flowtui.engine.models import Loaded
from flowtui.engine.results import Analysis, LayerResult
from flowtui.engine.spec import RunSpec, TruncationParameters
from flowtui.errors import CancelledError, UnsupportedModelError, UsageError
from tests.engine.oracles import dropped_logits, hooks_left, load_random_demo, masked_logits, slow_greedy
from tests.factories import png

# Same operations on other batch shapes: float32 sums differ in their last bits, and 12 layers add up to about 1e-5.
LOGITS_ATOL = 1e-4

ALL = TruncationParameters()


def compute(
    loaded: Loaded,
    inputs: Inputs,
    parameters: TruncationParameters = ALL,
    ks: Sequence[int] | None = None,
    check: Callable[[int, float], None] = lambda layer, fraction: None,
) -> dict[int, LayerResult]:
    results: list[LayerResult] = []
    wanted = range(len(loaded.layers) + 1) if ks is None else ks
    truncation.run(loaded, inputs, parameters, wanted, results.append, check)
    assert [r.layer for r in results] == sorted(set(wanted))
    return {r.layer: r for r in results}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_random_demo(tmp_path_factory.mktemp("random-demo"))


@pytest.fixture(scope="module", params=["tiny", "demo"])
def case(request: pytest.FixtureRequest, tiny_llava: Loaded, demo: Loaded) -> tuple[Loaded, Inputs]:
    """A model and an answer of its own, seven tokens long."""
    loaded = tiny_llava if request.param == "tiny" else demo
    spec = RunSpec(model="x", images=(png(),), question="What color is the circle ?", max_new_tokens=7)
    return loaded, prepare(loaded, spec)


@pytest.fixture
def logits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """The logits [T+1 vocab] that the analysis compares, in ascending order of K below L."""
    seen: list[Tensor] = []
    real = _walk.head

    def spy(loaded: Loaded, hidden: Tensor) -> Tensor:
        made = real(loaded, hidden)
        seen.extend(made)
        return made

    monkeypatch.setattr(_walk, "head", spy)
    return seen


def rows_of(inputs: Inputs) -> slice:
    return slice(inputs.prompt_length - 1, inputs.length)


def test_equals_really_dropping_the_tokens(case: tuple[Loaded, Inputs], logits: list[Tensor]) -> None:
    loaded, inputs = case
    compute(loaded, inputs)
    assert len(logits) == len(loaded.layers)
    for k, made in enumerate(logits):
        slow = dropped_logits(loaded, inputs, k, inputs.image_positions)[-len(inputs.answer_ids) - 1 :]
        torch.testing.assert_close(made, slow, atol=LOGITS_ATOL, rtol=0)


def test_equals_masking_the_image_keys(case: tuple[Loaded, Inputs], logits: list[Tensor]) -> None:
    loaded, inputs = case
    compute(loaded, inputs)
    for k, made in enumerate(logits):
        slow = masked_logits(loaded, inputs.model_inputs, k, inputs.image_positions)[rows_of(inputs)]
        torch.testing.assert_close(made, slow, atol=LOGITS_ATOL, rtol=0)


def test_the_image_matters_to_these_models(case: tuple[Loaded, Inputs]) -> None:
    """Without this the comparisons above could pass on a model that ignores its image."""
    kl = [float(r.arrays["kl"].mean()) for r in compute(*case).values()]
    assert kl[0] > 0.1
    # A KL is half a squared difference of logits or so: even the last layers' are far above what is tolerated.
    assert all(value > 1000 * LOGITS_ATOL**2 for value in kl[:-1])


def test_log_probabilities_and_divergence(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    results = compute(loaded, inputs)
    t, answer = len(inputs.answer_ids), inputs.answer_ids.numpy()

    def logs(k: int) -> np.ndarray:
        made = dropped_logits(loaded, inputs, k, inputs.image_positions)[-t - 1 : -1].double().numpy()
        return made - np.log(np.exp(made - made.max(-1, keepdims=True)).sum(-1, keepdims=True)) - made.max(-1)[:, None]

    full = logs(len(loaded.layers))
    for k, result in results.items():
        cut = logs(k)
        assert result.arrays["logprob"].dtype == result.arrays["kl"].dtype == np.float32
        np.testing.assert_allclose(result.arrays["logprob"], cut[np.arange(t), answer], atol=LOGITS_ATOL)
        np.testing.assert_allclose(result.arrays["kl"], (np.exp(full) * (full - cut)).sum(-1), atol=LOGITS_ATOL)
        assert (result.arrays["kl"] >= 0).all()


def test_the_untouched_model_is_exactly_itself(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    result = compute(loaded, inputs)[len(loaded.layers)]
    assert (result.arrays["kl"] == 0).all()
    assert bool(result.arrays["same"])
    assert tuple(result.arrays["ids"]) == inputs.prepared.answer.ids
    assert result.text == inputs.prepared.answer.text


def test_greedy_text_equals_a_slow_decode_of_the_masked_model(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    for k, result in compute(loaded, inputs).items():
        ids, _ = slow_greedy(loaded, inputs, k, inputs.image_positions)
        assert result.arrays["ids"].tolist() == ids, k
        assert result.text == decode_answer(loaded, ids)
        assert bool(result.arrays["same"]) == (ids == list(inputs.prepared.answer.ids))


def test_greedy_text_ends_where_the_model_ends_it(case: tuple[Loaded, Inputs]) -> None:
    """Tokens that occur late in some answers are declared end tokens, so that rows stop at different lengths."""
    loaded, inputs = case
    answers = [r.arrays["ids"].tolist() for r in compute(loaded, inputs).values()]
    last = answers[-1]
    stop_ids = (next(i for i in last[3:] if i not in last[:3]), answers[1][-1], answers[2][2])
    loaded = replace(loaded, stop_ids=stop_ids)
    inputs = with_answer(loaded, inputs)
    lengths = set()
    for k, result in compute(loaded, inputs).items():
        ids, stopped = slow_greedy(loaded, inputs, k, inputs.image_positions)
        lengths.add((len(ids), stopped))
        assert result.arrays["ids"].tolist() == ids, k
        expected = (ids, stopped) == (list(inputs.prepared.answer.ids), inputs.prepared.answer.stopped)
        assert bool(result.arrays["same"]) == expected
    assert len(lengths) > 2


def with_answer(loaded: Loaded, inputs: Inputs) -> Inputs:
    """The same prompt with the full model's greedy answer under other end tokens."""
    inputs = replace(inputs, stop_ids=loaded.stop_ids)
    ids, stopped = slow_greedy(loaded, inputs, len(loaded.layers), inputs.image_positions)
    assert stopped
    old = inputs.prepared.answer
    n = inputs.prompt_length + len(ids)
    short = {k: v[:, :n] if v.shape[-1] == inputs.length else v for k, v in inputs.model_inputs.items()}
    answer = replace(old, ids=tuple(ids), tokens=old.tokens[: len(ids)], stopped=True, text=decode_answer(loaded, ids))
    return replace(
        inputs,
        prepared=replace(inputs.prepared, answer=answer),
        model_inputs=short,
        answer_rows=inputs.answer_rows[: len(ids)],
        answer_ids=inputs.answer_ids[: len(ids)],
    )


def test_a_given_answer_is_scored_and_greedy_texts_are_compared(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    inputs = replace(tiny_inputs, max_new_tokens=5)
    count = len(tiny_llava.layers)
    full, _ = slow_greedy(tiny_llava, inputs, count, inputs.image_positions)
    assert full != list(inputs.prepared.answer.ids)
    for k, result in compute(tiny_llava, inputs).items():
        ids, _ = slow_greedy(tiny_llava, inputs, k, inputs.image_positions)
        assert result.arrays["ids"].tolist() == ids
        assert bool(result.arrays["same"]) == (ids == full)
        assert result.arrays["logprob"].shape == (3,)


def test_a_given_answer_longer_than_greedy_decoding_may_go(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    inputs = replace(tiny_inputs, max_new_tokens=2)
    for k, result in compute(tiny_llava, inputs).items():
        assert result.arrays["ids"].tolist() == slow_greedy(tiny_llava, inputs, k, inputs.image_positions)[0]
        assert result.arrays["logprob"].shape == (3,)


@pytest.mark.parametrize("strategy", ["top-r", "random-r"])
def test_keeping_every_image_token_changes_nothing(case: tuple[Loaded, Inputs], strategy: str) -> None:
    loaded, inputs = case
    parameters = TruncationParameters(strategy, r=len(inputs.image_positions))  # type: ignore[arg-type]
    for result in compute(loaded, inputs, parameters).values():
        assert bool(result.arrays["same"])
        # KL is quadratic in a difference of logits of about 1e-5.
        assert result.arrays["kl"].max() < 1e-6


@pytest.mark.parametrize("strategy", ["top-r", "random-r"])
def test_keeping_no_image_token_is_the_strategy_all(case: tuple[Loaded, Inputs], strategy: str) -> None:
    loaded, inputs = case
    plain = compute(loaded, inputs)
    for k, result in compute(loaded, inputs, TruncationParameters(strategy, r=0)).items():  # type: ignore[arg-type]
        assert_same_result(result, plain[k], exact=True)


def assert_same_result(one: LayerResult, other: LayerResult, *, exact: bool) -> None:
    assert one.text == other.text
    np.testing.assert_array_equal(one.arrays["ids"], other.arrays["ids"])
    for name in ("logprob", "kl"):
        np.testing.assert_allclose(one.arrays[name], other.arrays[name], atol=0 if exact else LOGITS_ATOL, rtol=0)


def test_top_r_keeps_the_most_attended(case: tuple[Loaded, Inputs], logits: list[Tensor]) -> None:
    """Ranked anew from the model's own eager attention; the rest is dropped or hidden by the slow oracles."""
    loaded, inputs = case
    r = 20
    results = compute(loaded, inputs, TruncationParameters("top-r", r=r))
    before = loaded.decoder.config._attn_implementation
    try:
        loaded.decoder.config._attn_implementation = "eager"
        with torch.no_grad():
            maps = loaded.model(**inputs.model_inputs, use_cache=False, output_attentions=True).attentions
    finally:
        loaded.decoder.config._attn_implementation = before
    dropped = []
    for k, made in enumerate(logits):
        weights = maps[max(k - 1, 0)][0, :, inputs.prompt_length - 1].mean(0)[inputs.image_positions]
        gone = inputs.image_positions[weights.argsort()[:-r]]
        dropped.append(gone)
        slow = dropped_logits(loaded, inputs, k, gone)[-len(inputs.answer_ids) - 1 :]
        torch.testing.assert_close(made, slow, atol=LOGITS_ATOL, rtol=0)
        if k % 4 == 0:
            assert results[k].arrays["ids"].tolist() == slow_greedy(loaded, inputs, k, gone)[0]
    assert any(not torch.equal(a.sort().values, b.sort().values) for a, b in pairwise(dropped))


def test_random_r_is_seeded_and_the_same_draw_for_every_k(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    def curve(seed: int, ks: Sequence[int] | None = None) -> dict[int, LayerResult]:
        return compute(tiny_llava, tiny_inputs, TruncationParameters("random-r", r=30, seed=seed), ks)

    first, again, other, alone = curve(0), curve(0), curve(1), curve(0, [2])
    for k, result in first.items():
        assert_same_result(result, again[k], exact=True)
    assert_same_result(alone[2], first[2], exact=False)
    assert not np.allclose(first[0].arrays["kl"], other[0].arrays["kl"], atol=1e-3)


def test_some_k_alone_give_the_same_as_the_whole_curve(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    whole = compute(loaded, inputs)
    for ks in ([0], [3], [1, 3], [len(loaded.layers)]):
        for k, result in compute(loaded, inputs, ks=ks).items():
            assert_same_result(result, whole[k], exact=False)
    assert compute(loaded, inputs, ks=[]) == {}


@pytest.mark.parametrize("strategy", ["all", "top-r"])
def test_small_chunks_change_nothing(
    case: tuple[Loaded, Inputs], strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, inputs = case
    parameters = TruncationParameters(strategy, r=10)  # type: ignore[arg-type]
    whole = compute(loaded, inputs, parameters)
    batches: list[int] = []
    real = truncation.walk

    def counted(a: object, b: object, lanes: list[object], *others: object, **named: object) -> object:
        batches.append(len(lanes))
        return real(a, b, lanes, *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(truncation, "walk", counted)
    monkeypatch.setattr(truncation, "rows_per_chunk", lambda row_bytes: 3)
    for k, result in compute(loaded, inputs, parameters).items():
        assert_same_result(result, whole[k], exact=False)
    assert max(batches) == 3
    assert sum(batches) == len(loaded.layers)


def test_nothing_is_decoded_where_every_row_agrees(
    case: tuple[Loaded, Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded a row that agrees")

    monkeypatch.setattr(_decode, "look_ahead", refuse)
    loaded, inputs = case
    compute(loaded, inputs, TruncationParameters("top-r", r=len(inputs.image_positions)))
    with pytest.raises(AssertionError, match="decoded"):
        compute(loaded, inputs)


def test_the_weights_are_read_twice_at_most(case: tuple[Loaded, Inputs], monkeypatch: pytest.MonkeyPatch) -> None:
    """One full pass and one walk: each layer runs twice before decoding, however many K there are."""
    loaded, inputs = case
    monkeypatch.setattr(truncation, "decode", lambda *_: None)
    calls = [0] * len(loaded.layers)

    def count(index: int) -> Callable[..., None]:
        def hook(*_: object) -> None:
            calls[index] += 1

        return hook

    handles = [layer.register_forward_hook(count(i)) for i, layer in enumerate(loaded.layers)]
    try:
        compute(loaded, inputs)
    finally:
        for handle in handles:
            handle.remove()
    assert calls == [2] * len(loaded.layers)


def test_the_curve_has_a_cliff_reading(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    analysis = Analysis("truncation", {}, compute(loaded, inputs))
    assert find_cliff(analysis, len(loaded.layers)) is not None


class StopError(CancelledError):
    pass


@pytest.mark.parametrize("after", [0, 2, 5, 9])
def test_nothing_is_left_after_a_cancel(tiny_llava: Loaded, tiny_inputs: Inputs, after: int) -> None:
    """In the full pass, in the walk, while decoding."""
    left = iter(range(after))

    def check(layer: int, fraction: float) -> None:
        assert 0 <= fraction <= 1
        if next(left, None) is None:
            raise StopError("enough")

    parameters = TruncationParameters("top-r", r=5)
    with pytest.raises(StopError):
        compute(tiny_llava, replace(tiny_inputs, max_new_tokens=8), parameters, check=check)
    assert_untouched(tiny_llava, tiny_inputs)


def test_nothing_is_left_after_a_normal_run_and_a_bad_target(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    compute(tiny_llava, tiny_inputs)
    assert_untouched(tiny_llava, tiny_inputs)
    with pytest.raises(UsageError, match="K runs from 0 to 4"):
        compute(tiny_llava, tiny_inputs, ks=[5])
    with pytest.raises(IndexError):
        compute(tiny_llava, replace(tiny_inputs, answer_ids=tiny_inputs.answer_ids.repeat(9)))
    assert_untouched(tiny_llava, tiny_inputs)


def assert_untouched(loaded: Loaded, inputs: Inputs) -> None:
    assert hooks_left(loaded.model) == 0
    with torch.no_grad():
        made = loaded.model(**inputs.model_inputs, use_cache=False).logits[0]
    slow = dropped_logits(loaded, inputs, len(loaded.layers), inputs.image_positions[:0])
    torch.testing.assert_close(made, slow, atol=LOGITS_ATOL, rtol=0)


def test_progress_rises(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    fractions: list[float] = []
    compute(tiny_llava, tiny_inputs, check=lambda layer, fraction: fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] > 0.7


@pytest.mark.parametrize("r", [145])
def test_an_impossible_r(tiny_llava: Loaded, tiny_inputs: Inputs, r: int) -> None:
    with pytest.raises(UsageError, match="144 image tokens"):
        compute(tiny_llava, tiny_inputs, TruncationParameters("top-r", r=r))


def test_a_prompt_that_ends_in_its_image(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    last = torch.tensor([tiny_inputs.prompt_length - 1])
    inputs = replace(tiny_inputs, image_positions=torch.cat([tiny_inputs.image_positions, last]))
    with pytest.raises(UsageError, match="ends in an image token"):
        compute(tiny_llava, inputs)


def test_a_head_that_is_more_than_norm_and_matrix_is_refused(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(tiny_llava.model).forward

    def scaled(*args: object, **kwargs: object) -> object:
        output = real(*args, **kwargs)
        output.logits = output.logits * 2
        return output

    monkeypatch.setattr(type(tiny_llava.model), "forward", scaled)
    with pytest.raises(UnsupportedModelError, match="final norm"):
        compute(tiny_llava, tiny_inputs)


def test_a_decoder_that_works_between_its_layers_is_refused(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    handle = tiny_llava.layers[2].register_forward_pre_hook(
        lambda _, args, kwargs: ((args[0] * 1.5,), kwargs), with_kwargs=True
    )
    try:
        with pytest.raises(UnsupportedModelError, match="before layer 2"):
            compute(tiny_llava, tiny_inputs)
    finally:
        handle.remove()


QUESTIONS = ("What color is the circle ?", "What color is the square ?", "Is there a circle ?")


@pytest.mark.parametrize("strategy", ["all", "top-r"])
def test_questions_on_one_image_share_what_they_begin_with(
    tiny_llava: Loaded, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [
        prepare(tiny_llava, RunSpec(model="x", images=(png(),), question=question, max_new_tokens=4 + i))
        for i, question in enumerate(QUESTIONS)
    ]
    parameters = TruncationParameters(strategy, r=10)  # type: ignore[arg-type]
    alone = [compute(tiny_llava, inputs, parameters) for inputs in many]
    passes: list[object] = []
    real = truncation.record
    monkeypatch.setattr(truncation, "record", lambda *a: passes.append(a) or real(*a))
    found: list[dict[int, LayerResult]] = [{} for _ in many]
    fractions: list[float] = []
    truncation.run_many(
        tiny_llava,
        many,
        parameters,
        range(5),
        lambda i, result: found[i].update({result.layer: result}),
        lambda _layer, fraction: fractions.append(fraction),
    )
    assert len(passes) == (1 if strategy == "all" else 3)
    assert fractions == sorted(fractions)
    for together, single in zip(found, alone, strict=True):
        assert together.keys() == single.keys()
        for k, result in together.items():
            assert_same_result(result, single[k], exact=False)


def test_another_image_is_not_shared(tiny_llava: Loaded) -> None:
    many = [
        prepare(tiny_llava, RunSpec(model="x", images=(png(seed=seed),), question=QUESTIONS[0], answer="a circle"))
        for seed in (0, 1)
    ]
    found: list[dict[int, LayerResult]] = [{}, {}]
    truncation.run_many(
        tiny_llava, many, ALL, range(5), lambda i, r: found[i].update({r.layer: r}), lambda _layer, _fraction: None
    )
    for inputs, results in zip(many, found, strict=True):
        for k, result in compute(tiny_llava, inputs).items():
            assert_same_result(results[k], result, exact=False)
