from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from flowtui.engine import rows, selftest
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.selftest import self_test
from flowtui.errors import UnsupportedModelError

HALF_AND_WHOLE = ["float32", "bfloat16"]


@pytest.fixture(params=HALF_AND_WHOLE)
def loaded(request: pytest.FixtureRequest, tiny_directory: Path) -> Loaded:
    return load_model(str(tiny_directory), dtype=request.param, device="cpu")


def _hooks(loaded: Loaded) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in loaded.model.modules())


def test_a_sound_model_passes_and_is_left_as_it_was(loaded: Loaded) -> None:
    assert 0 < self_test(loaded) < selftest.TOLERANCE[loaded.dtype]
    assert loaded.decoder.config._attn_implementation == "sdpa"
    assert _hooks(loaded) == 0
    assert not rows._watched


def _spoil(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    weights = rows.Scores.weights
    monkeypatch.setattr(rows.Scores, "weights", lambda self, wanted: change(weights(self, wanted)))


def _swapped_heads(weights: Tensor) -> Tensor:
    return weights.flip(1)


def _nan(weights: Tensor) -> Tensor:
    return weights * math.nan


@pytest.mark.parametrize("change", [_swapped_heads, _nan])
def test_wrong_rows_are_refused_by_name(loaded: Loaded, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    _spoil(monkeypatch, change)
    with pytest.raises(UnsupportedModelError, match=r"llava model .* attention rows differ .* by"):
        self_test(loaded)
    assert loaded.decoder.config._attn_implementation == "sdpa"
    assert _hooks(loaded) == 0


def test_a_mask_that_is_lost_under_our_name_is_refused(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own pass is right, but watched it would look into the future."""
    attend = rows._attention

    def unmasked(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any = None, **kwargs: Any) -> Any:
        if mask is not None and mask.dtype != torch.bool:
            return attend(module, query, key, value, mask, **kwargs)
        return attend(module, query, key, value, None, **(kwargs | {"is_causal": False}))

    monkeypatch.setitem(rows.AttentionInterface._global_mapping, rows.NAME, unmasked)
    with pytest.raises(UnsupportedModelError, match="attention rows differ"):
        self_test(loaded)


def test_layers_that_go_another_way_are_refused(loaded: Loaded) -> None:
    attentions = (*loaded.attentions[:2], torch.nn.Linear(1, 1), loaded.attentions[3])
    loaded.attentions = attentions
    with pytest.raises(UnsupportedModelError, match=r"only 3 of 4 layers passed through"):
        self_test(loaded)


def test_a_wrong_final_norm_is_refused(loaded: Loaded) -> None:
    loaded.final_norm = torch.nn.Identity()
    with pytest.raises(UnsupportedModelError, match="final norm and output embedding"):
        self_test(loaded)


def test_a_model_that_cannot_run_on_text_says_why(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_kwargs: Any) -> None:
        raise ValueError("pixels first\nand a long story")

    monkeypatch.setattr(loaded.model, "forward", fail)
    with pytest.raises(UnsupportedModelError, match=r"could not be followed through it \(pixels first\)"):
        self_test(loaded)


def test_loading_refuses_what_fails(tiny_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _spoil(monkeypatch, _swapped_heads)
    with pytest.raises(UnsupportedModelError, match="did not pass the self-test"):
        load_model(str(tiny_directory), dtype="float32", device="cpu")
