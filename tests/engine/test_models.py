from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from flowtui.engine import models
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.errors import ModelError, UsageError


@pytest.fixture
def copy(tiny_directory: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be damaged."""
    return Path(shutil.copytree(tiny_directory, tmp_path / "copy"))


def _load(folder: Path, **options: str) -> Loaded:
    return load_model(str(folder), **{"dtype": "float32", "device": "cpu", **options})


def test_everything_is_frozen_and_in_evaluation_mode(tiny_llava: Loaded) -> None:
    assert not any(p.requires_grad for p in tiny_llava.model.parameters())
    assert not any(m.training for m in tiny_llava.model.modules())


def test_the_parts_are_the_models_own(tiny_llava: Loaded) -> None:
    language = tiny_llava.model.model.language_model
    assert tiny_llava.decoder is language
    assert tiny_llava.layers is language.layers
    assert tiny_llava.final_norm is language.norm
    assert tiny_llava.lm_head is tiny_llava.model.lm_head
    assert tiny_llava.attentions == tuple(layer.self_attn for layer in language.layers)


def test_info(tiny_llava: Loaded, tiny_directory: Path) -> None:
    info = tiny_llava.info
    assert (info.layers, info.heads, info.kv_heads, info.d_model) == (4, 4, 2, 32)
    assert (info.family, info.dtype, info.device) == ("llava", "float32", "cpu")
    assert (info.name, info.directory, info.revision) == (str(tiny_directory), str(tiny_directory), None)
    assert 0 <= info.self_test_error < 1e-5


def test_the_demo_architecture_loads_like_any_other(demo_random: Loaded) -> None:
    assert (demo_random.info.layers, demo_random.info.heads, demo_random.info.d_model) == (12, 4, 128)
    # Its output embedding is the input embedding: tied weights are not missing weights.
    assert demo_random.lm_head.weight is demo_random.decoder.embed_tokens.weight


def test_decoding_preferences_of_the_checkpoint_are_dropped(copy: Path) -> None:
    path = copy / "generation_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "repetition_penalty": 5.0, "num_beams": 3, "top_p": 0.5})
    )
    loaded = _load(copy)
    config = loaded.model.generation_config
    assert config.repetition_penalty in (None, 1.0)
    assert (config.num_beams, config.do_sample) == (1, False)
    assert loaded.stop_ids == (loaded.processor.tokenizer.eos_token_id,)


def test_half_precision(copy: Path) -> None:
    loaded = _load(copy, dtype="bfloat16")
    assert loaded.dtype == torch.bfloat16
    assert loaded.info.self_test_error < 2e-2


def test_auto_is_float32_on_the_cpu(copy: Path) -> None:
    _load(copy, dtype="bfloat16").model.save_pretrained(copy)
    assert load_model(str(copy), device="cpu").dtype == torch.float32


@pytest.mark.parametrize("options", [{"dtype": "int4"}, {"device": "abacus"}, {"device": "cuda:77"}])
def test_what_cannot_be_meant(tiny_directory: Path, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        _load(tiny_directory, **options)
    assert caught.value.hint


def test_missing_weights_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights[next(name for name in weights if name.endswith("layers.2.self_attn.v_proj.weight"))]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete.*v_proj"):
        _load(copy)


def test_damaged_weights_are_one_error(copy: Path) -> None:
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="could not be loaded"):
        _load(copy)


def test_no_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="could not be loaded"):
        _load(copy)


def test_a_damaged_configuration(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelError, match="could not be loaded"):
        _load(copy)


def test_a_missing_processor(copy: Path) -> None:
    (copy / "processor_config.json").unlink()
    with pytest.raises(ModelError):
        _load(copy)


def test_a_language_model_is_no_vision_language_model(copy: Path) -> None:
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(copy)
    with pytest.raises(ModelError):
        _load(copy)


def test_layers_without_end_are_refused_before_one_is_built(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 10**7
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="claims 10,000,000 layers"):
        _load(copy)


def test_what_transformers_says_of_a_configuration_cannot_steer_a_terminal(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "\x1b]52;c;AA\x07"}))
    with pytest.raises(ModelError, match="could not be loaded") as raised:
        _load(copy)
    assert raised.value.message.isprintable()


def test_a_model_with_code_of_its_own_needs_leave(copy: Path) -> None:
    path = copy / "config.json"
    config = json.loads(path.read_text()) | {"model_type": "home-made", "auto_map": {"AutoConfig": "mine.MyConfig"}}
    path.write_text(json.dumps(config))
    (copy / "mine.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(ModelError, match="brings code of its own"):
        _load(copy)


def test_an_id_without_a_network_names_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="not on this machine") as caught:
        load_model("nobody/no-such-model", device="cpu")
    assert "local directory" in caught.value.hint


def test_links_in_the_hubs_cache_lead_to_its_own_blobs(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--some--model"
    snapshot = cached / "snapshots" / ("0" * 40)
    shutil.copytree(tiny_directory, snapshot)
    (cached / "blobs").mkdir()
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").rename(cached / "blobs" / "1")
    (snapshot / "config.json").symlink_to("../../blobs/1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert load_model("some/model", device="cpu").info.revision == "0" * 40
    (tmp_path / "secret").write_text("secret")
    (snapshot / "chat_template.jinja").unlink(missing_ok=True)
    (snapshot / "chat_template.jinja").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="leads out"):
        load_model("some/model", device="cpu")


def test_loading_writes_nothing(tiny_directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _load(tiny_directory)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "token", "expected"),
    [
        ({"image_token_id": 7, "img_context_token_id": 8}, None, 7),
        ({"image_token_index": 7}, "<image>", 7),
        ({"img_context_token_id": 8, "img_start_token_id": 9, "image_newline_id": 10}, None, 8),
        ({"media_placeholder_token_id": 8}, None, 8),
        ({"image_size": 8}, "<image>", 4),
        # Two that could be meant: the processor says which.
        ({"image_patch_id": 8, "image_pad_id": 9}, "<image>", 4),
    ],
)
def test_the_placeholder_is_found_under_other_names(
    settings: dict[str, int], token: str | None, expected: int, tiny_llava: Loaded
) -> None:
    config = SimpleNamespace(**settings)
    processor = SimpleNamespace(tokenizer=tiny_llava.processor.tokenizer, image_token=token)
    assert tiny_llava.processor.tokenizer.convert_tokens_to_ids("<image>") == 4
    assert models.image_token("m", SimpleNamespace(config=config), processor) == expected


def test_no_placeholder_is_said(tiny_llava: Loaded) -> None:
    bare = SimpleNamespace(tokenizer=tiny_llava.processor.tokenizer)
    with pytest.raises(ModelError, match="names no image token"):
        models.image_token("m", SimpleNamespace(config=SimpleNamespace(image_start_id=3)), bare)
