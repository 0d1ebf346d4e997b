"""All tiny models, by name, and the prompts that are put to each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from flowtui.engine.families import FAMILIES as KNOWN
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.spec import RunSpec
from tests.engine.families import dynamic, fixed, tiles
from tests.engine.tiny import ANSWER, QUESTION
from tests.factories import png

FAMILIES: dict[str, Callable[[Path], None]] = {**fixed.FAMILIES, **tiles.FAMILIES, **dynamic.FAMILIES}
"""Model type, or model type and variant, to the function that writes the model into a folder."""

STEPS = 4
SPEC = RunSpec(model="tiny", images=(png(96, 64),), question=QUESTION, max_new_tokens=STEPS)
SEVERAL = RunSpec(
    model="tiny", images=(png(96, 64), png(64, 96, seed=1)), question=QUESTION, answer=ANSWER, max_new_tokens=STEPS
)


def family_of(name: str) -> str:
    """The registry's name of a model or of its variant."""
    return name if name in KNOWN else max((k for k in KNOWN if name.startswith(f"{k}-")), key=len)


def load(name: str, folder: Path) -> Loaded:
    """Writes a family's model and loads it as any other."""
    # Some parameters are drawn when a model is made.
    torch.manual_seed(0)
    FAMILIES[name](folder)
    return load_model(str(folder), dtype="float32", device="cpu")
