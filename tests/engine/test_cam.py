from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from flowtui.engine import cam
from flowtui.engine.budget import CHUNK_BYTES, limits
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.models import Loaded
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import CamParameters, CamSite, CamVariant, RunSpec
from flowtui.errors import CancelledError, ModelError, UnsupportedModelError, UsageError
from tests.engine.live_bytes import LiveBytes
from tests.engine.oracles import hooks_left, load_random_demo
from tests.factories import png

SITES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "post_attention": lambda layer: layer.post_attention_layernorm,
    "input": lambda layer: layer.input_layernorm,
    "output": lambda layer: layer,
    "value": lambda layer: layer.self_attn.v_proj,
}


def compute(
    loaded: Loaded,
    inputs: Inputs,
    parameters: CamParameters,
    layers: Sequence[int] | None = None,
    check: Callable[[int, float], None] = lambda layer, fraction: None,
) -> dict[int, np.ndarray]:
    results: list[LayerResult] = []
    wanted = range(len(loaded.layers)) if layers is None else layers
    cam.run(loaded, inputs, parameters, wanted, results.append, check)
    assert [r.layer for r in results] == sorted(set(wanted))
    return {r.layer: r.arrays["heat"] for r in results}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_random_demo(tmp_path_factory.mktemp("random-demo"))


@pytest.fixture(scope="module", params=["tiny", "demo"])
def case(request: pytest.FixtureRequest, tiny_llava: Loaded, demo: Loaded) -> tuple[Loaded, Inputs]:
    """A grouped-query model and the demo's architecture, a greedy answer of two tokens."""
    loaded = tiny_llava if request.param == "tiny" else demo
    spec = RunSpec(model="x", images=(png(),), question="What color is the circle ?", max_new_tokens=2)
    return loaded, prepare(loaded, spec)


def plain(
    loaded: Loaded,
    inputs: Inputs,
    layer: int,
    site: str,
    token: int | None = None,
    pixels: Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Feature map and gradient [n C] of one layer from a pass of its own, differentiated back to the pixels."""
    pixels = inputs.model_inputs["pixel_values"] if pixels is None else pixels
    pixels = pixels.detach().clone().requires_grad_()
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = SITES[site](loaded.layers[layer]).register_forward_hook(keep)
    try:
        logits = loaded.model(**{**inputs.model_inputs, "pixel_values": pixels}, use_cache=False).logits[0]
    finally:
        handle.remove()
    chosen = range(len(inputs.answer_ids)) if token is None else [token]
    first = inputs.prompt_length
    ids = inputs.model_inputs["input_ids"][0]
    sum((logits[first + t - 1, ids[first + t]] for t in chosen), torch.zeros(())).backward()
    gradient = kept[0].grad
    assert gradient is not None
    image = inputs.image_positions
    return kept[0].detach()[0, image].double().numpy(), gradient[0, image].double().numpy()


def paper(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Eq. 2-3, one image token and one channel at a time."""
    n, channels = features.shape
    alpha = [sum(gradients[i, c] for i in range(n)) / n for c in range(channels)]
    return np.array([max(0.0, sum(alpha[c] * features[i, c] for c in range(channels))) for i in range(n)])


def code(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """As the released script goes: only positive gradients, pooled; channel mean; then small values are dropped."""
    pooled = np.mean(np.where(gradients > 0, gradients, 0), axis=0)
    weighted = features.copy()
    for c in range(features.shape[1]):
        weighted[:, c] *= pooled[c]
    heat = np.maximum(np.mean(weighted, axis=1), 0)
    if heat.max() > 0:
        heat[heat / heat.max() < 0.5] = 0
    return heat


def assert_close(made: np.ndarray, slow: np.ndarray) -> None:
    # Relative to the map's maximum: single cells are differences of large sums and may be zero in truth.
    np.testing.assert_allclose(made, slow, rtol=0, atol=1e-5 * max(float(slow.max()), 1e-12))


@pytest.mark.parametrize("site", SITES)
def test_equals_one_pass_per_layer(case: tuple[Loaded, Inputs], site: CamSite) -> None:
    loaded, inputs = case
    for layer, heat in compute(loaded, inputs, CamParameters(site=site)).items():
        assert heat.dtype == np.float32
        assert heat.shape == (1 + len(inputs.answer_ids), len(inputs.image_positions))
        assert (heat >= 0).all()
        for row, token in ((0, None), (2, 1)):
            assert_close(heat[row], paper(*plain(loaded, inputs, layer, site, token)))


@pytest.mark.parametrize("site", ["post_attention", "value"])
def test_one_map_for_all_tokens_together(case: tuple[Loaded, Inputs], site: CamSite) -> None:
    loaded, inputs = case
    many = compute(loaded, inputs, CamParameters(site=site))
    for layer, heat in compute(loaded, inputs, CamParameters(site=site, per_token=False)).items():
        assert heat.shape == (1, len(inputs.image_positions))
        assert_close(heat[0], paper(*plain(loaded, inputs, layer, site)))
        assert_close(many[layer][0], heat[0])


def test_code_variant_follows_the_script(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    for layer, heat in compute(loaded, inputs, CamParameters(variant="code")).items():
        for row, token in ((0, None), (1, 0)):
            features, gradients = plain(loaded, inputs, layer, "post_attention", token)
            slow = code(features, gradients)
            if slow.max() == 0:
                assert (heat[row] == 0).all()
                continue
            # A cell within rounding of half the maximum may fall on either side of the threshold.
            clear = np.abs(code_before_threshold(features, gradients) - 0.5 * slow.max()) > 1e-5 * slow.max()
            assert_close(heat[row][clear], slow[clear])
            assert clear.sum() >= len(clear) - 2


def code_before_threshold(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return np.maximum((features * np.maximum(gradients, 0).mean(0)).mean(1), 0)


def test_smooth_variant_is_the_mean_over_noisy_copies(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    parameters = CamParameters(variant="smooth", copies=3, noise=0.2, seed=5)
    made = compute(tiny_llava, tiny_inputs, parameters)
    pixels = tiny_inputs.model_inputs["pixel_values"]
    generator = torch.Generator().manual_seed(5)
    noisy = [pixels + 0.2 * torch.randn(pixels.shape, generator=generator) for _ in range(3)]
    for layer, heat in made.items():
        for row, token in enumerate((None, 0, 1, 2)):
            maps = [paper(*plain(tiny_llava, tiny_inputs, layer, "post_attention", token, p)) for p in noisy]
            assert_close(heat[row], np.mean(maps, axis=0))


def test_smooth_variant_is_seeded(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    def first(seed: int, noise: float = 0.1) -> np.ndarray:
        parameters = CamParameters(variant="smooth", copies=2, seed=seed, noise=noise, per_token=False)
        return compute(tiny_llava, tiny_inputs, parameters, [0])[0]

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.allclose(first(1), first(2), rtol=1e-3)
    assert_close(first(1, noise=0.0), compute(tiny_llava, tiny_inputs, CamParameters(per_token=False), [0])[0])


@pytest.mark.parametrize("site", ["post_attention", "output"])
def test_last_layer_has_no_path_to_the_answer(case: tuple[Loaded, Inputs], site: CamSite) -> None:
    loaded, inputs = case
    heat = compute(loaded, inputs, CamParameters(site=site))
    last = len(loaded.layers) - 1
    assert (heat[last] == 0).all()
    assert all(heat[layer].max() > 0 for layer in range(last))


@pytest.mark.parametrize("site", ["input", "value"])
def test_last_layer_has_a_map_before_its_attention(case: tuple[Loaded, Inputs], site: CamSite) -> None:
    loaded, inputs = case
    last = len(loaded.layers) - 1
    assert compute(loaded, inputs, CamParameters(site=site), [last])[last].max() > 0


def test_gradient_agrees_with_finite_differences(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell of one map in float64, without any gradient.

    The heat of token i is the derivative of z when a multiple of A_i / n is added to the feature map of all image
    tokens at once: sum_c A_ic * (1/n) sum_j dz/dA_jc.
    """
    model = deepcopy(tiny_llava.model).double()
    decoder = model.model.language_model
    loaded = replace(
        tiny_llava, model=model, decoder=decoder, layers=decoder.layers, final_norm=decoder.norm, lm_head=model.lm_head
    )

    def norm(self: nn.Module, hidden: Tensor) -> Tensor:
        return self.weight * hidden * torch.rsqrt((hidden**2).mean(-1, keepdim=True) + self.variance_epsilon)

    # Transformers' own norm rounds to float32 inside, which a finite difference would see.
    monkeypatch.setattr(type(decoder.norm), "forward", norm)
    pixels = tiny_inputs.model_inputs["pixel_values"].double()
    inputs = replace(tiny_inputs, model_inputs={**tiny_inputs.model_inputs, "pixel_values": pixels})
    layer, image = 1, inputs.image_positions
    heat = compute(loaded, inputs, CamParameters(per_token=False), [layer])[layer][0]
    cell = int(heat.argmax())

    def target(step: float) -> float:
        def push(_: nn.Module, __: object, output: Tensor) -> Tensor:
            output = output.clone()
            output[0, image] += step * output[0, image[cell]].clone() / len(image)
            return output

        handle = loaded.layers[layer].post_attention_layernorm.register_forward_hook(push)
        try:
            with torch.no_grad():
                logits = model(**inputs.model_inputs, use_cache=False).logits[0]
        finally:
            handle.remove()
        return float(logits[inputs.answer_rows, inputs.answer_ids].sum())

    step = 1e-4
    # Central differences: error of order step squared, and rounding of about 1e-16 / step.
    assert (target(step) - target(-step)) / (2 * step) == pytest.approx(heat[cell], rel=1e-6)


def test_formula_by_hand() -> None:
    features = torch.tensor([[1.0, 2.0], [0.4, 6.0]])
    gradients = torch.tensor([[1.0, -1.0], [3.0, 0.0]])
    # Weights: (1 + 3) / 2 = 2 and (-1 + 0) / 2 = -0.5. Token 0: 2 * 1 - 0.5 * 2 = 1; token 1: 0.8 - 3 < 0.
    assert cam.weigh(features, gradients, "paper").tolist() == [1.0, 0.0]
    assert cam.weigh(features, gradients, "smooth").tolist() == [1.0, 0.0]
    # Positive gradients only: 2 and 0. Channel means: (2 + 0) / 2 = 1 and (0.8 + 0) / 2 = 0.4, under half of 1.
    assert cam.weigh(features, gradients, "code").tolist() == [1.0, 0.0]
    features[1, 0] = 0.6
    assert cam.weigh(features, gradients, "code").tolist() == pytest.approx([1.0, 0.6])
    assert cam.weigh(features, torch.zeros(2, 2), "code").tolist() == [0.0, 0.0]


def test_some_layers_alone_give_the_same(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    whole = compute(loaded, inputs, CamParameters())
    for layers in ([0], [2, 1], [len(loaded.layers) - 1]):
        for layer, heat in compute(loaded, inputs, CamParameters(), layers).items():
            assert_close(heat, whole[layer])
    assert compute(loaded, inputs, CamParameters(), []) == {}


def test_one_forward_and_no_gradient_before_the_first_layer(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []
    differentiated: dict[str, bool] = {}
    real = torch.autograd.grad

    def grad(*args: object, **kwargs: object) -> object:
        passes.append("backward")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.autograd, "grad", grad)
    watched: Mapping[str, nn.Module] = {
        "vision": tiny_llava.model.model.multi_modal_projector,
        **{f"layer {i}": layer for i, layer in enumerate(tiny_llava.layers)},
    }

    def note(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            differentiated[name] = output.requires_grad

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in watched.items()]
    handles.append(tiny_llava.decoder.register_forward_hook(lambda *_: passes.append("forward")))
    try:
        compute(tiny_llava, tiny_inputs, CamParameters(per_token=False), [2, 3])
        assert passes == ["forward", "backward"]
        compute(tiny_llava, tiny_inputs, CamParameters(), [2, 3])
        assert passes == ["forward", "backward", "forward", "backward", "backward", "backward"]
    finally:
        for handle in handles:
            handle.remove()
    assert differentiated == {"vision": False, "layer 0": False, "layer 1": False, "layer 2": True, "layer 3": True}


class StopError(CancelledError):
    pass


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("after", [0, 2, 5])
def test_nothing_is_left_after_a_cancel(tiny_llava: Loaded, tiny_inputs: Inputs, after: int, recompute: bool) -> None:
    """In the forward pass and between the backward passes."""
    left = iter(range(after))

    def check(layer: int, fraction: float) -> None:
        if next(left, None) is None:
            raise StopError("enough")

    with pytest.raises(StopError), limits(CHUNK_BYTES, recompute=recompute):
        compute(tiny_llava, tiny_inputs, CamParameters(), check=check)
    assert_untouched(tiny_llava, tiny_inputs)


def test_nothing_is_left_after_a_normal_run_and_a_bad_target(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    compute(tiny_llava, tiny_inputs, CamParameters(variant="smooth", copies=2))
    assert_untouched(tiny_llava, tiny_inputs)
    with pytest.raises(UsageError, match="Layers run from 0 to 3"):
        compute(tiny_llava, tiny_inputs, CamParameters(), [4])
    with pytest.raises((RuntimeError, IndexError)):
        compute(tiny_llava, replace(tiny_inputs, answer_ids=tiny_inputs.answer_ids + 10_000), CamParameters())
    assert_untouched(tiny_llava, tiny_inputs)


@pytest.mark.parametrize("layers", [range(4), [1, 3]])
@pytest.mark.parametrize("site", SITES)
def test_layers_that_are_computed_again_give_the_same_from_less_memory(
    tiny_llava: Loaded, tiny_inputs: Inputs, site: CamSite, layers: Sequence[int]
) -> None:
    peaks, made = [], []
    for recompute in (False, True):
        fractions: list[float] = []
        with limits(CHUNK_BYTES, recompute=recompute), LiveBytes() as live:
            made.append(
                compute(
                    tiny_llava,
                    tiny_inputs,
                    CamParameters(site=site),
                    layers,
                    check=lambda _, fraction, seen=fractions: seen.append(fraction),
                )
            )
        peaks.append(live.peak)
        assert fractions == sorted(fractions)
    for layer in layers:
        np.testing.assert_array_equal(made[0][layer], made[1][layer])
    assert peaks[1] < 0.85 * peaks[0]
    assert_untouched(tiny_llava, tiny_inputs)


def assert_untouched(loaded: Loaded, inputs: Inputs) -> None:
    assert hooks_left(loaded.model) == 0
    assert not any(p.requires_grad or p.grad is not None for p in loaded.model.parameters())
    assert not inputs.model_inputs["pixel_values"].requires_grad
    assert not loaded.model(**inputs.model_inputs, use_cache=False).logits.requires_grad


@pytest.mark.parametrize("variant", ["paper", "smooth"])
def test_progress_rises(tiny_llava: Loaded, tiny_inputs: Inputs, variant: CamVariant) -> None:
    fractions: list[float] = []
    parameters = CamParameters(variant=variant, copies=2)
    compute(tiny_llava, tiny_inputs, parameters, check=lambda layer, fraction: fractions.append(fraction))
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert 0.7 < fractions[-1] < 1


def test_gradients_that_overflow_are_refused(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    model = deepcopy(tiny_llava.model)
    with torch.no_grad():
        model.lm_head.weight.fill_(3e38)
    decoder = model.model.language_model
    loaded = replace(
        tiny_llava, model=model, decoder=decoder, layers=decoder.layers, final_norm=decoder.norm, lm_head=model.lm_head
    )
    with pytest.raises(ModelError, match="overflow float32") as error:
        compute(loaded, tiny_inputs, CamParameters())
    assert "--dtype" in error.value.hint


def test_a_model_without_the_site_is_refused(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fused_qkv = nn.Linear(2, 2)

    loaded = replace(tiny_llava, layers=nn.ModuleList([Other()]))
    with pytest.raises(UnsupportedModelError, match="v_proj") as error:
        compute(loaded, tiny_inputs, CamParameters(site="value"))
    assert "fused_qkv" in error.value.hint


def test_noise_needs_pixels(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    without = {k: v for k, v in tiny_inputs.model_inputs.items() if k != "pixel_values"}
    with pytest.raises(UnsupportedModelError, match="pixel_values"):
        compute(tiny_llava, replace(tiny_inputs, model_inputs=without), CamParameters(variant="smooth"))
