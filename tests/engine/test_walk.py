"""The walk on other families than LLaVA: sliding windows, image tokens that see each other, positions on grids."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PhiConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

from flowtui.engine import _walk, truncation
from flowtui.engine.budget import LOGITS, limits
from flowtui.engine.inputs import Inputs
from flowtui.engine.models import Loaded
from flowtui.engine.results import Answer, LayerResult, ModelInfo, Prepared, Tokens
from flowtui.engine.spec import TruncationParameters
from flowtui.engine.structure import find_decoder
from tests.engine.oracles import hooks_left, masked_logits, slow_greedy

IMAGE = 99
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
MROPE = {"rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}}
QWEN = {"depth": 1, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "patch_size": 8}

FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    # Attention and feed-forward side by side, biases, layer norms.
    "phi": lambda: LlavaForConditionalGeneration(
        LlavaConfig(vision_config=CLIPVisionConfig(**VISION), text_config=PhiConfig(**TEXT), image_token_id=IMAGE)
    ),
    # Two layers with a window shorter than the image, two without; other rotations for each kind.
    "gemma3": lambda: Gemma3ForConditionalGeneration(
        Gemma3Config(
            vision_config=SiglipVisionConfig(**VISION).to_dict(),
            text_config=Gemma3TextConfig(
                **TEXT,
                head_dim=8,
                sliding_window=10,
                layer_types=["sliding_attention", "full_attention"] * 2,
                tie_word_embeddings=False,
            ).to_dict(),
            image_token_id=IMAGE,
            mm_tokens_per_image=16,
            # Tied, a random model of this family repeats its last token whatever the image is.
            tie_word_embeddings=False,
        )
    ),
    "internvl": lambda: InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config={**VISION, "image_size": [32, 32], "patch_size": [8, 8]},
            text_config=Qwen2Config(**TEXT).to_dict(),
            image_token_id=IMAGE,
        )
    ),
    # Positions in three dimensions: the image's own are on its grid, and text goes on after the largest.
    "qwen2_5_vl": lambda: Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            vision_config=QWEN,
            text_config={**TEXT, **MROPE},
            image_token_id=IMAGE,
            vision_start_token_id=97,
            vision_end_token_id=98,
        )
    ),
}


def build(family: str) -> tuple[Loaded, Inputs]:
    """A family's tiny model, and a prompt with sixteen image tokens and a greedy answer of five."""
    torch.manual_seed(3)
    model = FAMILIES[family]().eval().requires_grad_(False)
    decoder = find_decoder(model)
    info = ModelInfo(family, None, None, family, "f", 4, 4, 2, 32, "float32", "cpu", 0.0)
    tokenizer = SimpleNamespace(decode=lambda ids, **_: " ".join(map(str, ids)))
    loaded = Loaded(
        model,
        cast(Any, SimpleNamespace(tokenizer=tokenizer)),
        info,
        decoder.module,
        decoder.layers,
        decoder.attentions,
        decoder.final_norm,
        decoder.lm_head,
        IMAGE,
        (),
    )
    ids = torch.tensor([[1, 5, 6, 97, *[IMAGE] * 16, 98, 7, 8, 9, 10]])
    kinds = (ids == IMAGE).long()
    # Where no pixels are given the image tokens keep their own embedding, which is as good to walk on.
    given: dict[str, Tensor] = {"input_ids": ids}
    if family == "gemma3":
        given["token_type_ids"] = kinds
    if family == "qwen2_5_vl":
        pixels = torch.randn(64, 3 * 2 * 8 * 8)
        given |= {
            "pixel_values": pixels,
            "image_grid_thw": torch.tensor([[1, 8, 8]]),
            "mm_token_type_ids": kinds,
        }
    start = ids.shape[1]
    image = (ids[0] == IMAGE).nonzero()[:, 0]
    bare = Inputs(cast(Any, None), given, start, torch.arange(0), torch.arange(0), image, 5, ())
    answer, _ = slow_greedy(loaded, bare, 4, image[:0])
    full = {
        name: torch.cat([v, torch.tensor([answer]) if name == "input_ids" else v.new_zeros(1, 5)], 1)
        if v.shape == ids.shape
        else v
        for name, v in given.items()
    }
    n = start + len(answer)
    group = np.zeros(n, dtype=np.uint8)
    group[int(image[-1]) + 1 : start] = 2
    group[start:] = 3
    group[image] = 1
    tokens = Tokens(full["input_ids"][0].numpy(), ("",) * n, group, (), start)
    prepared = Prepared(info, tokens, Answer(tuple(answer), "the answer", ("",) * 5, False, False), ())
    inputs = Inputs(prepared, full, start, torch.arange(start, n) - 1, torch.tensor(answer), image, 5, ())
    return loaded, inputs


@pytest.mark.parametrize("strategy", ["all", "random-r"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_equals_masking_and_slow_decoding(
    family: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, inputs = build(family)
    parameters = TruncationParameters(strategy, r=5)  # type: ignore[arg-type]
    gone = inputs.image_positions
    if strategy == "random-r":
        order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
        gone = gone[order[5:]]
    seen: list[Tensor] = []
    real = _walk.head

    def spy(a: Loaded, hidden: Tensor) -> Tensor:
        made = real(a, hidden)
        seen.extend(made)
        return made

    monkeypatch.setattr(_walk, "head", spy)
    results: list[LayerResult] = []
    truncation.run(loaded, inputs, parameters, range(5), results.append, lambda layer, fraction: None)
    assert len(seen) == 4
    moved = 0.0
    full = masked_logits(loaded, inputs.model_inputs, 4, gone)[inputs.prompt_length - 1 :]
    for k, made in enumerate(seen):
        slow = masked_logits(loaded, inputs.model_inputs, k, gone)[inputs.prompt_length - 1 :]
        # Same operations on other batch shapes, in float32.
        torch.testing.assert_close(made, slow, atol=1e-4, rtol=0)
        moved = max(moved, float((slow - full).abs().max()))
    assert moved > 0.01
    for result in results:
        ids, _ = slow_greedy(loaded, inputs, result.layer, gone)
        assert result.arrays["ids"].tolist() == ids, result.layer
    assert any(not r.arrays["same"] for r in results)
    assert hooks_left(loaded.model) == 0


def test_logits_are_made_for_as_many_lanes_as_a_chunk_holds(
    tiny_llava: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(5, 4, tiny_llava.info.d_model)
    # Lanes with places of their own; rows 7 and 9 of each.
    positions = torch.tensor([[1, 7, 8, 9], [7, 9, 10, 11], [0, 1, 7, 9], [7, 8, 9, 10], [2, 7, 9, 12]])
    lanes = _walk.Walk([0] * 5, positions, positions[0, :0], hidden, {})
    rows, vocabulary = torch.tensor([7, 9]), tiny_llava.lm_head.weight.shape[0]
    sizes: list[int] = []
    real = _walk.head
    monkeypatch.setattr(_walk, "head", lambda loaded, some: sizes.append(len(some)) or real(loaded, some))
    with limits(2 * LOGITS * len(rows) * vocabulary * 4, recompute=False):
        made = torch.stack(list(lanes.logits(tiny_llava, rows, vocabulary)))
    assert sizes == [2, 2, 1]
    at = torch.tensor([[1, 3], [0, 1], [2, 3], [0, 2], [1, 2]])
    expected = tiny_llava.head(hidden.gather(1, at[..., None].expand(-1, -1, hidden.shape[-1])))
    # The same products on other batch shapes, in float32.
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
