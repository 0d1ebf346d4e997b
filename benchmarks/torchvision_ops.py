"""Lets torchvision be imported beside a build of torch that its compiled part was not made for.

grad-cam needs torchvision (for a transform that nothing here uses), and a package index may hand out torchvision for
CUDA beside torch for the CPU. Its operators are then missing, and declaring their shapes fails at import.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
"""Declarations last as long as their library."""


def declare() -> None:
    """Declares the operators that torchvision's Python part wants to see, where its compiled part cannot be loaded."""
    if find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in ("nms", "qnms"):
            LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
