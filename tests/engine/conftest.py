"""A tiny random LLaVA, saved and loaded like any other model, and one prepared question."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from flowtui.engine.demo.model import SPECIAL, build_processor
from flowtui.engine.demo.questions import VOCABULARY
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.models import Loaded, load_model
from flowtui.engine.spec import RunSpec
from tests.factories import png

QUESTION = "What color is the circle ?"
ANSWER = "a red circle"


def build_tiny(seed: int = 0) -> LlavaForConditionalGeneration:
    """Four decoder layers, four query heads on two key heads; weights large enough that every layer matters."""
    ids = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
    torch.manual_seed(seed)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=96,
            patch_size=8,
        ),
        text_config=LlamaConfig(
            vocab_size=len(ids),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.3,
            bos_token_id=ids["<s>"],
            eos_token_id=ids["</s>"],
            pad_token_id=ids["<pad>"],
        ),
        image_token_id=ids["<image>"],
        image_seq_length=144,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        initializer_range=0.3,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids["</s>"]
    model.generation_config.pad_token_id = ids["<pad>"]
    return model


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's directory, in Hugging Face layout."""
    folder = tmp_path_factory.mktemp("tiny-llava")
    build_tiny().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llava(tiny_directory: Path) -> Loaded:
    """The tiny model, loaded as any other."""
    return load_model(str(tiny_directory), dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def tiny_inputs(tiny_llava: Loaded) -> Inputs:
    """One image, one question, a given answer of three tokens."""
    spec = RunSpec(model="tiny", images=(png(),), question=QUESTION, answer=ANSWER)
    return prepare(tiny_llava, spec)
