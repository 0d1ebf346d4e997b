"""A tiny random LLaVA, saved and loaded like any other model, and one prepared question."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flowtui.engine.demo.model import build_model, build_processor, save
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.models import Loaded, load_model
from flowtui.engine.spec import RunSpec
from tests.engine.tiny import ANSWER, QUESTION, build_tiny
from tests.factories import png


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


@pytest.fixture(scope="session")
def demo_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo architecture with random weights, written by the demo's own `save`."""
    folder = tmp_path_factory.mktemp("demo-random")
    torch.manual_seed(1)
    model = build_model(12)
    for parameter in model.model.language_model.layers.parameters():
        # The usual 0.02 leaves attention so even that a wrong row would look like a right one.
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.1)
    save(model, folder)
    return folder


@pytest.fixture(scope="session")
def demo_random(demo_directory: Path) -> Loaded:
    """That model, loaded."""
    return load_model(str(demo_directory), dtype="float32", device="cpu")
