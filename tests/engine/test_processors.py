from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import Qwen2VLProcessor, Qwen3VLProcessor
from transformers.utils import is_torchvision_available

from flowtui.engine.models import load_model
from flowtui.engine.processors import images_only, load_processor
from flowtui.errors import ModelError
from tests.engine.families.dynamic import FAMILIES


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without the files of a video part."""
    folder = tmp_path_factory.mktemp("qwen")
    FAMILIES["qwen2_vl"](folder)
    return folder


def test_a_processor_comes_without_its_video_part_where_that_cannot_be_loaded(qwen: Path) -> None:
    processor = load_processor(str(qwen), local_files_only=True)
    assert isinstance(processor, Qwen2VLProcessor)
    assert type(processor).__name__ == "Qwen2VLProcessor"
    assert processor.video_processor is None
    assert processor.image_processor.patch_size == 8
    assert processor.chat_template.startswith("{% for message in messages %}")
    assert processor.tokenizer.convert_ids_to_tokens(processor.image_token_id) == "<|image_pad|>"


def test_the_model_type_says_which_processor_where_its_files_do_not(qwen: Path, tmp_path: Path) -> None:
    for file in qwen.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    (tmp_path / "processor_config.json").unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings["image_processor"]))
    tokenizer = json.loads((tmp_path / "tokenizer_config.json").read_text())
    tokenizer.pop("processor_class", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    processor = load_processor(str(tmp_path), local_files_only=True)
    assert isinstance(processor, Qwen2VLProcessor)
    assert processor.image_processor.patch_size == 8


def test_other_parts_are_checked_as_ever(qwen: Path) -> None:
    whole = load_processor(str(qwen), local_files_only=True)
    with pytest.raises(TypeError, match="image_processor"):
        images_only(Qwen3VLProcessor)(None, whole.tokenizer, None)


def test_what_else_is_missing_is_said_in_its_own_words(qwen: Path, tmp_path: Path) -> None:
    for file in qwen.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    del settings["image_processor"]
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(OSError, match="image processor"):
        load_processor(str(tmp_path), local_files_only=True)


@pytest.mark.skipif(is_torchvision_available(), reason="torchvision is installed, so nothing is missing")
def test_images_that_need_torchvision_are_told_so(qwen: Path, tmp_path: Path) -> None:
    for file in qwen.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "PixtralProcessor"}))
    with pytest.raises(ModelError, match="needs torchvision, which is not installed"):
        load_model(str(tmp_path), device="cpu")
