from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from transformers.models.llama4.modeling_llama4 import Llama4TextAttention, Llama4TextConfig

from flowtui.engine._calls import check_places
from flowtui.engine.loaded import Loaded
from flowtui.errors import UnsupportedModelError


def _llama4(**more: Any) -> Loaded:
    """Attention of two layers: one with rotary positions, one without."""
    config = Llama4TextConfig(
        hidden_size=16,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        num_hidden_layers=2,
        no_rope_layers=[1, 0],
        **more,
    )
    attentions = tuple(Llama4TextAttention(config, i) for i in range(2))
    return cast(Loaded, SimpleNamespace(attentions=attentions, info=SimpleNamespace(family="llama4")))


def test_places_that_a_layer_counts_itself() -> None:
    """Sharpened from the token on whose place plus one is a whole `floor_scale`: with 63 tokens none is."""
    loaded = _llama4(floor_scale=64)
    check_places(loaded, 63)
    with pytest.raises(UnsupportedModelError, match="From 64 tokens on"):
        check_places(loaded, 64)
    check_places(_llama4(floor_scale=64, attn_temperature_tuning=False), 1000)
    check_places(cast(Loaded, SimpleNamespace(attentions=(loaded.attentions[0], None))), 1000)
