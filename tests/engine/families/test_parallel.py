"""Decoders whose attention and feed-forward block read the same norm: the CAM's usual site is that norm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

from flowtui.engine import cam
from flowtui.engine.inputs import prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import CamParameters, RunSpec
from flowtui.errors import UnsupportedModelError
from tests.engine.families.fixed import build_llava
from tests.engine.families.tiles import FAMILIES
from tests.engine.oracles import hooks_left
from tests.engine.tiny import ANSWER, QUESTION
from tests.factories import png


def _llava_on(kind: Callable[..., Any], **more: Any) -> Callable[[Path], None]:
    """LLaVA with another decoder behind it."""

    def build(folder: Path) -> None:
        build_llava(folder)
        config = hf.LlavaConfig.from_pretrained(folder)
        old = config.text_config
        same = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        ids = ("bos_token_id", "eos_token_id", "pad_token_id", "initializer_range")
        config.text_config = kind(**{name: getattr(old, name) for name in (*same, *ids)}, **more)
        torch.manual_seed(0)
        hf.LlavaForConditionalGeneration(config).save_pretrained(folder)

    return build


PARALLEL: dict[str, Callable[[Path], None]] = {
    "aya_vision": FAMILIES["aya_vision"],
    "cohere2_vision": FAMILIES["cohere2_vision"],
    "llava on Phi": _llava_on(hf.PhiConfig),
    # Norms of queries and keys inside the attention.
    "llava on Cohere": _llava_on(hf.CohereConfig, use_qk_norm=True, logit_scale=0.25),
}


@pytest.mark.parametrize("name", PARALLEL)
def test_the_site_is_what_the_feed_forward_block_reads(name: str, tmp_path: Path) -> None:
    """Every layer's map against autograd at the input of the block itself."""
    PARALLEL[name](tmp_path)
    loaded = load_model(str(tmp_path), dtype="float32", device="cpu")
    inputs = prepare(loaded, RunSpec("tiny", (png(96, 64),), QUESTION, answer=ANSWER))
    made: list[LayerResult] = []
    cam.run(loaded, inputs, CamParameters(per_token=False), range(len(loaded.layers)), made.append, lambda *_: None)
    assert hooks_left(loaded.model) == 0
    read: list[torch.Tensor] = []
    embeddings = [loaded.model.get_input_embeddings().register_forward_hook(lambda _, __, out: out.requires_grad_())]
    blocks = [layer.mlp.register_forward_pre_hook(lambda _, args: read.append(args[0])) for layer in loaded.layers]
    logits = loaded.model(**inputs.model_inputs, use_cache=False).logits[0, inputs.answer_rows]
    for hook in (*embeddings, *blocks):
        hook.remove()
    target = logits.gather(-1, inputs.answer_ids[:, None]).sum()
    slopes = torch.autograd.grad(target, read)
    for layer, (features, slope) in enumerate(zip(read, slopes, strict=True)):
        a, g = features.detach()[0, inputs.image_positions], slope[0, inputs.image_positions]
        expected = (a.double() @ g.double().mean(0)).relu().numpy()
        # float32 against float64 sums over 32 channels, and two orders of the backward pass.
        np.testing.assert_allclose(made[layer].arrays["heat"][0], expected, rtol=1e-4, atol=1e-5 * expected.max())
    # Unlike the usual site this one has a path to the answer in the last layer too: attention reads it there.
    assert made[-1].arrays["heat"].max() > 0


def _layer(**parts: nn.Module) -> Loaded:
    attention = nn.ModuleDict({"q_norm": nn.LayerNorm(4)})
    block = nn.ModuleDict({"self_attn": attention, **parts})
    found = SimpleNamespace(layers=[block], attentions=(attention,), info=SimpleNamespace(family="new"))
    return cast(Loaded, found)


def test_a_second_norm_of_an_unknown_name_is_not_passed_over() -> None:
    one = _layer(input_layernorm=nn.LayerNorm(4), mlp=nn.Linear(4, 4))
    assert cam.find_site(one, 0, "post_attention") is one.layers[0]["input_layernorm"]
    two = _layer(input_layernorm=nn.LayerNorm(4), norm_of_mlp=nn.RMSNorm(4), mlp=nn.Linear(4, 4))
    with pytest.raises(UnsupportedModelError, match="no site 'post_attention'"):
        cam.find_site(two, 0, "post_attention")
    with pytest.raises(UnsupportedModelError, match="no site"):
        cam.find_site(_layer(mlp=nn.Linear(4, 4)), 0, "post_attention")
