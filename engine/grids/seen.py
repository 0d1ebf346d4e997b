"""What a layout may look at to find the grids of a prompt's images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flowtui.engine.results import Span


@dataclass(frozen=True, slots=True)
class Seen:
    """A prompt with images, as the model's processor made it.

    Attributes:
        family: transformers' model_type.
        config: The model's configuration.
        processor: The model's processor.
        prompt: What it gave, a batch of one.
        ids: [P] int64, the prompt's token ids.
        image_positions: [n] int64, positions of the placeholders, rising.
        image_sizes: (width, height) of each original image.
    """

    family: str
    config: Any
    processor: Any
    prompt: dict[str, Tensor]
    ids: NDArray[np.int64]
    image_positions: NDArray[np.int64]
    image_sizes: tuple[tuple[int, int], ...]


Layout = Callable[[Seen], tuple[Span, ...]]
"""Finds the grids of every image, in the order of their tokens."""
