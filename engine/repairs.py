"""Mends processors whose files load but whose code fails in the transformers that is pinned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import FuyuImageProcessorPil, ProcessorMixin


def mend(processor: ProcessorMixin) -> ProcessorMixin:
    """Mends a processor in place where it needs it.

    Fuyu's processor (5.23) hands tensors to the image processor and wants tensors back; without torchvision that is the
    one made for numpy arrays, and no prompt comes out.
    """
    image_processor = getattr(processor, "image_processor", None)
    if isinstance(image_processor, FuyuImageProcessorPil):
        cut = FuyuImageProcessorPil.patchify_image

        def patchify(image: Any, patch_size: Any = None) -> torch.Tensor:
            return torch.as_tensor(cut(image_processor, np.asarray(image), patch_size))

        image_processor.__dict__["patchify_image"] = patchify
    return processor
