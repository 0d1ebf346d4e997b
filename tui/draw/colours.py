"""Colour maps: 256 steps that look equally far apart, made from a few anchor colours.

The anchors are those of matplotlib's inferno and viridis (van der Walt & Smith 2015, CC0) and of cividis (Nuñez,
Anderton & Renslow 2018, doi:10.1371/journal.pone.0199239), which colour-blind eyes read like others. Between anchors
colours run straight through Oklab (Ottosson 2020), and the steps are spread evenly over the path's length there, so
equal differences of a value are equal differences to the eye.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

STEPS = 256
ANCHORS = {
    "inferno": "000004 1f0c48 550f6d 88226a ba3655 e35933 f98c0a f9c932 fcffa4",
    "viridis": "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
    "cividis": "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838",
}

# Linear sRGB -> cone responses -> Oklab, https://bottosson.github.io/posts/oklab/
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Turns sRGB bytes [... 3] into Oklab [... 3]."""
    value = rgb.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _CONES.T) @ _LAB.T)


def from_oklab(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Oklab [... 3] as sRGB bytes [... 3]; colours out of gamut are clipped."""
    linear = np.clip(((lab @ np.linalg.inv(_LAB).T) ** 3) @ np.linalg.inv(_CONES).T, 0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), dtype=np.uint8)


@cache
def table(name: str = "inferno") -> NDArray[np.uint8]:
    """A colour map: [256 3] uint8, dark to light."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in ANCHORS[name].split()], dtype=np.uint8)
    fine = np.linspace(0, len(anchors) - 1, 4096)
    path = np.stack([np.interp(fine, np.arange(len(anchors)), channel) for channel in to_oklab(anchors).T], axis=1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    even = np.linspace(0, length[-1], STEPS)
    made = from_oklab(np.stack([np.interp(even, length, channel) for channel in path.T], axis=1))
    made.setflags(write=False)
    return made


def colour(values: NDArray[np.floating], name: str = "inferno") -> NDArray[np.uint8]:
    """Values in 0..1 [...] as colours [... 3] uint8; values outside are clipped, NaN counts as 0."""
    steps = np.clip(np.nan_to_num(values) * (STEPS - 1) + 0.5, 0, STEPS - 1).astype(np.intp)
    return np.asarray(table(name)[steps])
