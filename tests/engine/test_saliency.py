from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from flowtui.engine import budget, rows, saliency
from flowtui.engine.demo.model import build_processor
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.results import GROUPS, LayerResult, Run
from flowtui.engine.shapes import check_layer
from flowtui.engine.spec import RunSpec, SaliencyParameters
from flowtui.errors import CancelledError, ModelError, UsageError
from tests.engine.families.fixed import FAMILIES
from tests.engine.oracles import hooks_left, load_random_demo
from tests.engine.test_hybrid import build as build_hybrid
from tests.engine.tiny import ANSWER, QUESTION
from tests.factories import png

PARAMETERS = SaliencyParameters()

# Float32 through a few layers against float64, relative to a layer's largest number.
TOLERANCE = 2e-5

# Grouped queries; more layers; image tokens that see each other; soft-capped scores; windows shorter than the image.
CASES = ("tiny", "demo", "paligemma", "paligemma-2", "gemma3")


def compute(
    loaded: Loaded,
    inputs: Inputs,
    layers: Sequence[int] | None = None,
    check: Callable[[int, float], None] = lambda layer, fraction: None,
) -> dict[int, LayerResult]:
    results: list[LayerResult] = []
    wanted = range(len(loaded.layers)) if layers is None else layers
    saliency.run(loaded, inputs, PARAMETERS, wanted, results.append, check)
    assert {r.layer for r in results} == set(wanted)
    assert len(results) == len(set(wanted))
    for result in results:
        check_layer(Run.from_prepared(RunSpec(model="x", images=(png(),), question="?"), inputs.prepared), result)
    return {r.layer: r for r in results}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Loaded) -> Callable[[str], tuple[Loaded, Inputs]]:
    made: dict[str, tuple[Loaded, Inputs]] = {}

    def get(name: str) -> tuple[Loaded, Inputs]:
        if name not in made:
            loaded = tiny_llava if name == "tiny" else _load(name, tmp_path_factory.mktemp(name))
            answer = ANSWER if name in ("tiny", "gemma3") else None
            spec = RunSpec(model="x", images=(png(),), question=QUESTION, answer=answer, max_new_tokens=2)
            made[name] = loaded, prepare(loaded, spec)
        return made[name]

    return get


def _load(name: str, folder: Path) -> Loaded:
    if name == "demo":
        return load_random_demo(folder)
    FAMILIES[name](folder)
    return load_model(str(folder), dtype="float32", device="cpu")


def double(loaded: Loaded, inputs: Inputs) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """A copy in float64 with eager attention, and its inputs."""
    model = deepcopy(loaded.model).double()
    model.set_attn_implementation("eager")
    given = {k: v.double() if v.is_floating_point() else v for k, v in inputs.model_inputs.items()}
    return model, given


def answer_loss(logits: Tensor, inputs: Inputs) -> Tensor:
    """Mean over the answer of -log p, from logits [N vocab], one token at a time."""
    start, ids = inputs.prompt_length, inputs.model_inputs["input_ids"][0]
    each = [-logits[p - 1].log_softmax(-1)[ids[p]] for p in range(start, len(ids))]
    return torch.stack(each).mean()


def eager_saliency(loaded: Loaded, inputs: Inputs) -> list[np.ndarray]:
    """I of every layer [N N] float64, from stored attention matrices and their gradients."""
    model, given = double(loaded, inputs)
    with torch.enable_grad():
        embedding = model.get_input_embeddings()
        hook = embedding.register_forward_hook(lambda _m, _a, output: output.detach().requires_grad_())
        output = model(**given, output_attentions=True, use_cache=False)
        hook.remove()
        for weights in output.attentions:
            weights.retain_grad()
        answer_loss(output.logits[0], inputs).backward()
    return [(a.detach() * a.grad)[0].sum(0).abs().numpy() for a in output.attentions]


def flow_by_pairs(found: np.ndarray, inputs: Inputs) -> np.ndarray:
    """The definition, query by query: mean over the pairs of every two groups."""
    group = inputs.prepared.tokens.group
    rows_of = {int(p) - 1 for p in range(inputs.prompt_length, len(group))}
    pairs: dict[tuple[int, int], list[float]] = {}
    for query in range(len(group)):
        if query in rows_of:
            to = GROUPS.index("answer")
        elif query >= inputs.prompt_length:
            continue
        else:
            to = int(group[query])
        for key in range(query):
            pairs.setdefault((to, int(group[key])), []).append(float(found[query, key]))
    return np.array([[np.mean(pairs.get((to, by), [0.0])) for by in range(4)] for to in range(4)])


@pytest.mark.parametrize("name", CASES)
def test_equals_stored_matrices_and_their_gradients(name: str, cases: Callable[[str], tuple[Loaded, Inputs]]) -> None:
    loaded, inputs = cases(name)
    made = compute(loaded, inputs)
    oracle = eager_saliency(loaded, inputs)
    assert len(made) == len(oracle) == len(loaded.layers)
    for layer, found in enumerate(oracle):
        at_rows = found[inputs.answer_rows][:, inputs.image_positions]
        np.testing.assert_allclose(
            made[layer].arrays["image_rows"], at_rows, rtol=0, atol=TOLERANCE * max(at_rows.max(), 1e-9)
        )
        flow = flow_by_pairs(found, inputs)
        np.testing.assert_allclose(made[layer].arrays["flow"], flow, rtol=0, atol=TOLERANCE * flow.max())
        assert flow.max() > 0
    # In the last layer no other row than the answer's matters; before it, others do.
    assert not made[len(oracle) - 1].arrays["flow"][:3].any()
    assert made[0].arrays["flow"][:3].any()


def test_windows_and_soft_caps_are_really_there(cases: Callable[[str], tuple[Loaded, Inputs]]) -> None:
    """Else the test above would prove nothing about them."""
    seen: dict[str, list[tuple[bool, float | None]]] = {"paligemma-2": [], "gemma3": [], "paligemma": []}
    for name, found in seen.items():
        loaded, inputs = cases(name)

        def look(
            layer: int,
            scores: rows.Scores,
            value: Tensor,
            output: Tensor,
            found: list[tuple[bool, float | None]] = found,
        ) -> Tensor:
            n = scores.query.shape[2]
            full = scores.mask is None or bool((scores.weights(torch.tensor([n - 1]))[..., 0] > 0).any())
            found.append((full, scores.softcap))
            return output

        with torch.no_grad(), rows.watch(loaded, rows.Watch(torch.arange(0), [], None, on_output=look)):
            loaded.model(**inputs.model_inputs, use_cache=False)
    assert all(cap is not None for _, cap in seen["paligemma-2"])
    assert {full for full, _ in seen["gemma3"]} == {True, False}
    loaded, inputs = cases("paligemma")
    made = rows.Watch(torch.arange(0), [], None)
    first = int(inputs.image_positions[0])
    later: list[float] = []
    made.on_output = lambda _l, scores, _v, output: (
        later.append(float(scores.weights(torch.tensor([first]))[..., first + 1].max())) or output
    )
    with torch.no_grad(), rows.watch(loaded, made):
        loaded.model(**inputs.model_inputs, use_cache=False)
    assert min(later) > 0


def test_one_entry_by_finite_differences(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    """I_qk is how fast the loss changes when all heads' weight from q to k is enlarged by a factor 1 + step."""
    layer = 1
    image = compute(tiny_llava, tiny_inputs)[layer].arrays["image_rows"]
    token, cell = np.unravel_index(int(image.argmax()), image.shape)
    query = int(tiny_inputs.answer_rows[token])
    key = int(tiny_inputs.image_positions[cell])
    model, given = double(tiny_llava, tiny_inputs)
    target = model.model.language_model.layers[layer].self_attn

    def loss(step: float) -> float:
        def attention(
            module: nn.Module, query_: Tensor, key_: Tensor, value: Tensor, mask: Tensor | None, **options: float
        ) -> tuple[Tensor, None]:
            groups = query_.shape[1] // key_.shape[1]
            key_, value = key_.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
            weights = (query_ @ key_.transpose(-1, -2) * options["scaling"] + (0 if mask is None else mask)).softmax(-1)
            if module is target:
                weights[:, :, query, key] *= 1 + step
            return (weights @ value).transpose(1, 2), None

        AttentionInterface.register("perturbed", attention)
        AttentionMaskInterface.register("perturbed", eager_mask)
        try:
            model.model.language_model.config._attn_implementation = "perturbed"
            with torch.no_grad():
                return float(answer_loss(model(**given, use_cache=False).logits[0], tiny_inputs))
        finally:
            del AttentionInterface._global_mapping["perturbed"]
            del AttentionMaskInterface._global_mapping["perturbed"]

    step = 1e-3
    slope = (loss(step) - loss(-step)) / (2 * step)
    # Central differences: an error of the order of step squared, and transformers' norms round to float32.
    assert abs(slope) == pytest.approx(float(image[token, cell]), rel=1e-3)
    assert abs(slope) > 0


@pytest.mark.parametrize("name", ["eager", "sdpa"])
def test_the_models_own_attention_does_not_matter(tiny_llava: Loaded, tiny_inputs: Inputs, name: str) -> None:
    model = deepcopy(tiny_llava.model)
    model.set_attn_implementation(name)
    decoder = model.model.language_model
    loaded = replace(
        tiny_llava,
        model=model,
        decoder=decoder,
        layers=decoder.layers,
        attentions=tuple(layer.self_attn for layer in decoder.layers),
        final_norm=decoder.norm,
        lm_head=model.lm_head,
    )
    first, second = compute(tiny_llava, tiny_inputs), compute(loaded, tiny_inputs)
    for layer, result in first.items():
        assert_same(second[layer], result)


def assert_same(one: LayerResult, other: LayerResult) -> None:
    for array, values in other.arrays.items():
        np.testing.assert_allclose(one.arrays[array], values, rtol=0, atol=1e-5 * max(float(values.max()), 1e-12))


def test_the_answer_is_read_at_the_rows_that_predict_it(tiny_llava: Loaded) -> None:
    """An answer of one token has no gradient at its own position; its flow is that of the last prompt row."""
    spec = RunSpec(model="tiny", images=(png(),), question=QUESTION, answer="red")
    inputs = prepare(tiny_llava, spec)
    assert len(inputs.answer_ids) == 1
    found = eager_saliency(tiny_llava, inputs)[2]
    assert not found[-1].any()
    result = compute(tiny_llava, inputs, [2])[2]
    image = GROUPS.index("image")
    expected = found[inputs.prompt_length - 1, inputs.image_positions].mean()
    assert result.arrays["flow"][GROUPS.index("answer"), image] == pytest.approx(expected, rel=1e-5)
    # No answer token stands before the only answer row: no pair, so zero.
    assert result.arrays["flow"][GROUPS.index("answer"), GROUPS.index("answer")] == 0


def test_some_layers_alone_give_the_same_deepest_first(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    whole = compute(tiny_llava, tiny_inputs)
    assert list(whole) == [3, 2, 1, 0]
    for layers in ([0], [3], [2, 1], [0, 3]):
        made = compute(tiny_llava, tiny_inputs, layers)
        assert list(made) == sorted(layers, reverse=True)
        for layer, result in made.items():
            assert_same(result, whole[layer])
    assert compute(tiny_llava, tiny_inputs, []) == {}


def test_layers_without_attention_have_no_flow(tmp_path: Path) -> None:
    build_hybrid(["conv", "full_attention", "conv", "full_attention"]).save_pretrained(tmp_path)
    build_processor().save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), dtype="float32", device="cpu")
    inputs = prepare(loaded, RunSpec(model="x", images=(png(),), question=QUESTION, answer=ANSWER))
    made = compute(loaded, inputs)
    oracle = eager_saliency(loaded, inputs)
    for layer, found in zip((1, 3), oracle, strict=True):
        at_rows = found[inputs.answer_rows][:, inputs.image_positions]
        np.testing.assert_allclose(made[layer].arrays["image_rows"], at_rows, rtol=0, atol=TOLERANCE * at_rows.max())
    for layer in (0, 2):
        assert not any(array.any() for array in made[layer].arrays.values())
        assert compute(loaded, inputs, [layer]).keys() == {layer}


def test_one_forward_and_no_gradient_before_the_first_attention_wanted(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward: list[bool] = []
    differentiated: dict[str, bool] = {}
    real = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: (backward.append(True), real(*a, **k))[1])
    watched = {
        "vision": tiny_llava.model.model.multi_modal_projector,
        **{f"layer {i}": layer for i, layer in enumerate(tiny_llava.layers)},
        "queries": tiny_llava.layers[2].self_attn.q_proj,
    }
    runs: list[str] = []

    def note(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            runs.append(name)
            differentiated[name] = output.requires_grad

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in watched.items()]
    try:
        compute(tiny_llava, tiny_inputs, [2, 3])
    finally:
        for handle in handles:
            handle.remove()
    assert backward == [True]
    assert differentiated == {
        "vision": False, "layer 0": False, "layer 1": False, "queries": False, "layer 2": True, "layer 3": True,
    }  # fmt: skip
    # Below the layers that are differentiated nothing runs twice.
    assert [runs.count(name) for name in ("vision", "layer 0", "layer 1", "queries")] == [1, 1, 1, 2]


class _Rows(TorchDispatchMode):
    """Notes the largest number of rows over keys of any tensor that an operation makes: all but its last dimension."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        # The last position is no query with a gradient, so keys may end before it.
        self.keys, self.most = (inputs.length, inputs.length - 1), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, Tensor) and tensor.ndim and tensor.shape[-1] in self.keys:
                self.most = max(self.most, tensor.numel() // tensor.shape[-1])
        return made


@pytest.mark.parametrize("name", ["tiny", "paligemma-2"])
def test_no_attention_matrix_of_all_heads_is_made(
    name: str, cases: Callable[[str], tuple[Loaded, Inputs]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, inputs = cases(name)
    whole = compute(loaded, inputs)
    with _Rows(inputs) as free:
        compute(loaded, inputs)
    # With room for all rows at once there is such a tensor: what is looked for can be found.
    assert free.most >= loaded.info.heads * (inputs.length - 2)
    monkeypatch.setattr(budget, "_chunk_bytes", SimpleNamespace(get=lambda: 1))
    with _Rows(inputs) as small:
        made = compute(loaded, inputs)
    # The decoder's mask, and the transposed queries, keys and values.
    assert small.most <= max(inputs.length, loaded.info.heads * 16)
    for layer, result in made.items():
        assert_same(result, whole[layer])


def test_no_layers_queries_outlive_it(tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[rows.Scores] = weakref.WeakSet()
    real = rows.Scores.__init__

    def init(self: rows.Scores, *args: object) -> None:
        real(self, *args)  # type: ignore[arg-type]
        alive.add(self)

    monkeypatch.setattr(rows.Scores, "__init__", init)
    counts: list[int] = []

    def count(layer: int, fraction: float) -> None:
        gc.collect()
        counts.append(len(alive))

    compute(tiny_llava, tiny_inputs, check=count)
    assert len(counts) == 8
    assert max(counts) == 1


@pytest.mark.parametrize("name", ["tiny", "paligemma-2"])
def test_a_backward_pass_in_a_thread_of_its_own_keeps_the_size_of_chunks(
    name: str, cases: Callable[[str], tuple[Loaded, Inputs]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: context variables do not reach autograd's threads. Soft-capped layers fail where chunks change."""
    loaded, inputs = cases(name)
    whole = compute(loaded, inputs)
    sizes: set[int] = set()
    real = saliency.rows_per_chunk
    monkeypatch.setattr(saliency, "rows_per_chunk", lambda size: sizes.add(budget._chunk_bytes.get()) or real(size))
    grad = torch.autograd.grad

    def elsewhere(*args: object) -> None:
        failed: list[RuntimeError] = []

        def work() -> None:
            try:
                grad(*args)  # type: ignore[arg-type]
            except RuntimeError as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    monkeypatch.setattr(torch.autograd, "grad", elsewhere)
    few = 30_000
    token = budget._chunk_bytes.set(few)
    try:
        made = compute(loaded, inputs)
    finally:
        budget._chunk_bytes.reset(token)
    assert sizes == {few}
    for layer, result in made.items():
        assert_same(result, whole[layer])


def test_a_scaled_loss_gives_the_same(tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = compute(tiny_llava, tiny_inputs)
    monkeypatch.setattr(saliency, "LOSS_SCALE", {torch.float32: 1024.0})
    for layer, result in compute(tiny_llava, tiny_inputs).items():
        assert_same(result, plain[layer])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(tiny_directory: Path, tiny_llava: Loaded, tiny_inputs: Inputs, dtype: str) -> None:
    half = load_model(str(tiny_directory), dtype=dtype, device="cpu")
    spec = RunSpec(model="tiny", images=(png(),), question=QUESTION, answer=ANSWER)
    made, full = compute(half, prepare(half, spec)), compute(tiny_llava, tiny_inputs)
    for layer, result in full.items():
        flow = result.arrays["flow"]
        # Activations of 8 or 11 bits through four layers with large weights.
        tolerance = 0.25 if dtype == "bfloat16" else 0.05
        np.testing.assert_allclose(made[layer].arrays["flow"], flow, rtol=0, atol=tolerance * flow.max())


def test_without_a_gradient_there_is_no_saliency(tiny_inputs: Inputs) -> None:
    """As where the answer is certain in half precision."""
    n = tiny_inputs.length
    query, key = torch.randn(1, 4, n, 8), torch.randn(1, 2, n, 8)
    scores = rows.Scores(query, key, None, 1.0, True, None)
    groups = saliency._Groups(tiny_inputs, torch.device("cpu"))
    flow, image_rows = saliency._flow(scores, key, torch.zeros(1, n, 4, 8), groups)
    assert not flow.any()
    assert image_rows.shape == (3, 144)
    assert not image_rows.any()


class StopError(CancelledError):
    pass


@pytest.mark.parametrize("after", [0, 2, 4, 6])
def test_nothing_is_left_after_a_cancel(tiny_llava: Loaded, tiny_inputs: Inputs, after: int) -> None:
    """In the forward and in the backward pass."""
    left = iter(range(after))

    def check(layer: int, fraction: float) -> None:
        if next(left, None) is None:
            raise StopError("enough")

    with untouched(tiny_llava, tiny_inputs), pytest.raises(StopError):
        compute(tiny_llava, tiny_inputs, check=check)


def test_nothing_is_left_after_a_normal_run_and_a_bad_target(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    with untouched(tiny_llava, tiny_inputs):
        compute(tiny_llava, tiny_inputs)
    with untouched(tiny_llava, tiny_inputs), pytest.raises(UsageError, match="Layers run from 0 to 3"):
        compute(tiny_llava, tiny_inputs, [4])
    with untouched(tiny_llava, tiny_inputs), pytest.raises((RuntimeError, IndexError)):
        compute(tiny_llava, replace(tiny_inputs, answer_ids=tiny_inputs.answer_ids + 10_000))


@contextmanager
def untouched(loaded: Loaded, inputs: Inputs) -> Iterator[None]:
    before = loaded.decoder.config._attn_implementation
    yield
    assert hooks_left(loaded.model) == 0
    assert not len(rows._watched)
    assert loaded.decoder.config._attn_implementation == before
    assert not any(p.requires_grad or p.grad is not None for p in loaded.model.parameters())
    assert not loaded.model(**inputs.model_inputs, use_cache=False).logits.requires_grad


def test_a_forward_of_the_loaders_own_stays(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    layer = tiny_llava.layers[1]
    own = layer.forward
    layer.forward = own
    try:
        compute(tiny_llava, tiny_inputs)
        assert layer.__dict__["forward"] is own
    finally:
        del layer.__dict__["forward"]


def test_progress_rises(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    fractions: list[float] = []
    compute(tiny_llava, tiny_inputs, check=lambda layer, fraction: fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert len(fractions) == 8


def test_gradients_that_overflow_are_refused(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    model = deepcopy(tiny_llava.model)
    with torch.no_grad():
        model.lm_head.weight.fill_(3e38)
    decoder = model.model.language_model
    attentions = tuple(layer.self_attn for layer in decoder.layers)
    loaded = replace(
        tiny_llava,
        model=model,
        decoder=decoder,
        layers=decoder.layers,
        attentions=attentions,
        final_norm=decoder.norm,
        lm_head=model.lm_head,
    )
    with pytest.raises(ModelError, match="overflow float32") as error:
        compute(loaded, tiny_inputs)
    assert "--dtype" in error.value.hint
