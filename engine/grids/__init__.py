"""Where each family's image tokens lie on the original image: one layout per model type, and one that fits most."""

from __future__ import annotations

from .dynamic import LAYOUTS as DYNAMIC
from .dynamic import as_told
from .fixed import LAYOUTS as FIXED
from .queries import LAYOUTS as QUERIES
from .seen import Layout, Seen
from .tiles import LAYOUTS as TILES

__all__ = ["LAYOUTS", "Layout", "Seen", "as_told"]

LAYOUTS: dict[str, Layout] = {**FIXED, **TILES, **DYNAMIC, **QUERIES}
"""Layout by transformers' model_type, or by it and the vision tower's."""
