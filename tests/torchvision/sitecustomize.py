"""Run at Python's start where this folder is on its path: torchvision can then be imported beside torch for the CPU.

Package indexes hand out torchvision for CUDA. Its compiled operators are then missing, and declaring their shapes fails
at import; the image transforms, which are all that transformers uses, need none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

OPERATORS = ("nms", "qnms")

kept: list[object] = []
"""Declarations last as long as their library."""


class DeclareOperators(MetaPathFinder):
    """Declares the operators just before torchvision is imported for the first time; finds nothing itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Never a module: the finders after this one look for it."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda is None:
                library = torch.library.Library("torchvision", "DEF")
                kept.append(library)
                for name in OPERATORS:
                    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, DeclareOperators())
