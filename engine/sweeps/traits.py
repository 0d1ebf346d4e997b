"""How the untouched model looks at the image, layer by layer, in a few numbers for each item. Torch-free.

attention.image_share   part of the answer rows' attention that goes to the image, mean over answer tokens and heads
attention.focus         part of that attention that the most attended tenth of the image tokens gets
cam.focus               part of LLaVA-CAM's heat (all answer tokens together) in its hottest tenth of the image tokens
cam.peak                the largest value of that heat, before any scaling

Both focuses are 0.1 where everything is even, and 1 where a tenth has it all; there is none where a map is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import GROUPS, LayerResult

PART = 0.1
_IMAGE = GROUPS.index("image")

NAMES = {
    "attention": ("attention.image_share", "attention.focus"),
    "cam": ("cam.focus", "cam.peak"),
}
"""The traits that come from each analysis."""

TITLES = {
    "attention.image_share": "attention on the image",
    "attention.focus": "attention's hottest tenth",
    "cam.focus": "CAM's hottest tenth",
    "cam.peak": "CAM's peak",
}


def traits_of(layers: Sequence[LayerResult]) -> dict[str, list[float | None]]:
    """The traits of one item from all layers of one analysis: name -> [L].

    Args:
        layers: Of "attention" or "cam", ascending.
    """
    make = _of_attention if layers[0].analysis == "attention" else _of_cam
    rows = [make(layer.arrays) for layer in layers]
    return {name: [row[i] for row in rows] for i, name in enumerate(NAMES[layers[0].analysis])}


def focus(values: NDArray[np.floating]) -> float | None:
    """The part of a map's sum that its largest tenth of values has; None where there is no sum.

    Args:
        values: [n], >= 0.
    """
    total = float(values.sum(dtype=np.float64))
    if not len(values) or total <= 0:
        return None
    count = max(1, round(PART * len(values)))
    return float(np.sort(values)[::-1][:count].sum(dtype=np.float64)) / total


def _of_attention(arrays: Mapping[str, NDArray[np.floating]]) -> tuple[float | None, float | None]:
    share = arrays["share"][..., _IMAGE]
    # A hybrid decoder's layer without attention has no head, and an empty answer no row.
    mean = float(share.mean(dtype=np.float64)) if share.size else None
    return mean, focus(arrays["image_rows"].sum(0))


def _of_cam(arrays: Mapping[str, NDArray[np.floating]]) -> tuple[float | None, float | None]:
    heat = arrays["heat"][0]
    return focus(heat), float(heat.max())
