"""The procedural world the demo model sees: small scenes of coloured shapes and characters with ground truth.

A scene is 96x96 pixels and holds one to three things, each inside a cell of its own on a 3x3 grid, so that nothing
overlaps and "top left" is never a matter of taste. Every scene belongs to exactly one split, decided by a hash of its
full description: training and evaluation scenes can therefore never overlap, whatever the seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SIZE_PX = 96
PATCH_PX = 8
GRID = SIZE_PX // PATCH_PX
CELLS = 3
CELL_PX = SIZE_PX // CELLS

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 38, 38),
    "green": (40, 165, 60),
    "blue": (40, 70, 225),
    "yellow": (240, 215, 40),
    "purple": (150, 45, 190),
    "cyan": (50, 205, 220),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")

# A 5x7 bitmap face of our own: a font file would render differently from one Pillow build to the next. The letters A to
# D are left out, they name the options of multiple choice questions.
GLYPHS: dict[str, tuple[str, ...]] = {
    "E": ("#####", "#    ", "#    ", "#### ", "#    ", "#    ", "#####"),
    "H": ("#   #", "#   #", "#   #", "#####", "#   #", "#   #", "#   #"),
    "K": ("#   #", "#  # ", "# #  ", "##   ", "# #  ", "#  # ", "#   #"),
    "L": ("#    ", "#    ", "#    ", "#    ", "#    ", "#    ", "#####"),
    "P": ("#### ", "#   #", "#   #", "#### ", "#    ", "#    ", "#    "),
    "T": ("#####", "  #  ", "  #  ", "  #  ", "  #  ", "  #  ", "  #  "),
    "V": ("#   #", "#   #", "#   #", "#   #", " # # ", " # # ", "  #  "),
    "X": ("#   #", "#   #", " # # ", "  #  ", " # # ", "#   #", "#   #"),
    "2": (" ### ", "#   #", "    #", "  ## ", " #   ", "#    ", "#####"),
    "4": ("#  # ", "#  # ", "#  # ", "#####", "   # ", "   # ", "   # "),
    "6": (" ### ", "#    ", "#    ", "#### ", "#   #", "#   #", " ### "),
    "7": ("#####", "    #", "   # ", "   # ", "  #  ", "  #  ", "  #  "),
}
CHARACTERS = tuple(GLYPHS)
NAMES = SHAPES + CHARACTERS

Split = Literal["train", "evaluation"]


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a scene: a shape or a character.

    Attributes:
        name: One of `SHAPES` or `CHARACTERS`.
        colour: A key of `COLOURS`.
        cell: (row, column) on the 3x3 grid.
        box_px: (left, top, right, bottom), right and bottom exclusive, inside its cell.
    """

    name: str
    colour: str
    cell: tuple[int, int]
    box_px: tuple[int, int, int, int]

    @property
    def is_character(self) -> bool:
        """Whether this thing is a letter or a digit."""
        return self.name in GLYPHS

    @property
    def noun(self) -> str:
        """The thing without its colour, in words: "circle", "letter A", "digit 4"."""
        if not self.is_character:
            return self.name
        return f"{'digit' if self.name.isdigit() else 'letter'} {self.name}"

    @property
    def phrase(self) -> str:
        """The thing in words: "red circle"."""
        return f"{self.colour} {self.noun}"

    @property
    def place(self) -> str:
        """The cell in words: "top left"."""
        return f"{ROWS[self.cell[0]]} {COLUMNS[self.cell[1]]}"


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene's full description; `render` turns it into pixels.

    Attributes:
        things: One to three things in reading order (row by row, left to right), no two of the same phrase.
        texture: Seed of background and colour jitter.
    """

    things: tuple[Thing, ...]
    texture: int

    @property
    def split(self) -> Split:
        """The one split this scene belongs to; one scene in ten is an evaluation scene."""
        digest = hashlib.blake2b(repr((self.things, self.texture)).encode(), digest_size=4).digest()
        return "evaluation" if int.from_bytes(digest, "big") % 10 == 0 else "train"


# Some coloured shapes are more common than others, so that "popular" negatives mean something (as in POPE).
_FREQUENCY = {
    (colour, shape): 1.0 + 2.0 * ((3 * i + 5 * j) % 7 == 0)
    for i, colour in enumerate(COLOURS)
    for j, shape in enumerate(SHAPES)
}
POPULAR = tuple(sorted(_FREQUENCY, key=lambda pair: -_FREQUENCY[pair])[:6])
_PAIRS = tuple(_FREQUENCY)
_PAIR_CUMULATIVE = np.cumsum(np.array(list(_FREQUENCY.values())) / sum(_FREQUENCY.values()))


def scenes(seed: int, split: Split, things: tuple[int, int] = (1, 3)) -> Iterator[Scene]:
    """Yields an endless, reproducible stream of scenes of one split.

    Args:
        seed: Any integer; the same seed gives the same stream.
        split: Which scenes to keep.
        things: Fewest and most things in a scene.
    """
    rng = np.random.default_rng((seed, 0 if split == "train" else 1))
    while True:
        scene = _draw(rng, things)
        if scene.split == split:
            yield scene


def _draw(rng: np.random.Generator, things: tuple[int, int]) -> Scene:
    count = int(rng.integers(things[0], things[1] + 1))
    cells = np.sort(rng.permutation(CELLS * CELLS)[:count])
    with_character = count > 1 and rng.random() < 0.75
    character_at = int(rng.integers(count)) if with_character else -1
    drawn: list[Thing] = []
    for i, cell in enumerate(cells):
        while True:
            if i == character_at:
                colour = list(COLOURS)[int(rng.integers(len(COLOURS)))]
                name = CHARACTERS[int(rng.integers(len(CHARACTERS)))]
            else:
                colour, name = _PAIRS[int(np.searchsorted(_PAIR_CUMULATIVE, rng.random()))]
            if not any(t.colour == colour and t.name == name for t in drawn):
                break
        drawn.append(_place(rng, name, colour, divmod(int(cell), CELLS)))
    return Scene(tuple(drawn), int(rng.integers(2**31)))


def _place(rng: np.random.Generator, name: str, colour: str, cell: tuple[int, int]) -> Thing:
    height = int(rng.integers(22 if name in GLYPHS else 18, 29))
    width = round(height * 5 / 7) if name in GLYPHS else height
    top = cell[0] * CELL_PX + 1 + int(rng.integers(CELL_PX - 1 - height))
    left = cell[1] * CELL_PX + 1 + int(rng.integers(CELL_PX - 1 - width))
    return Thing(name, colour, cell, (left, top, left + width, top + height))


def _coverage(name: str, width: int, height: int) -> NDArray[np.float32]:
    """Returns how much of each pixel a thing covers: [height width] float32 in [0, 1]."""
    if name in GLYPHS:
        bits = np.array([[c == "#" for c in line] for line in GLYPHS[name]], dtype=np.float32)
        scaled: NDArray[np.float32] = bits[np.arange(height) * 7 // height][:, np.arange(width) * 5 // width]
        return scaled
    radius = width / 2
    axis = (np.arange(width, dtype=np.float32) + 0.5) / radius - 1
    u, v = np.abs(axis)[None, :], axis[:, None]
    distance: NDArray[np.float32]
    if name == "circle":
        distance = np.hypot(u, v) - 1
    elif name == "square":
        distance = np.maximum(u, np.abs(v)) - 0.88
    elif name == "triangle":
        distance = np.maximum(v - 0.88, (u - (v + 1) / 1.88) * 0.88)
    elif name == "cross":
        distance = np.minimum(np.maximum(u - 1, np.abs(v) - 0.3), np.maximum(u - 0.3, np.abs(v) - 1))
    else:
        distance = np.abs(np.hypot(u, v) - 0.74) - 0.26
    covered: NDArray[np.float32] = np.clip(0.5 - distance * radius, 0, 1).astype(np.float32)
    return covered


def render(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draws a scene.

    Returns:
        The image, [96 96 3] uint8, and one mask per thing, [thing 96 96] bool (pixels at least half covered).
    """
    rng = np.random.default_rng(scene.texture)
    base, tint = rng.uniform(25, 225), rng.uniform(-10, 10, 3)
    slope = rng.uniform(-25, 25, 2)
    axis = np.linspace(-1, 1, SIZE_PX, dtype=np.float32)
    light = base + slope[0] * axis[:, None] + slope[1] * axis[None, :]
    canvas = (light[..., None] + tint).astype(np.float32)
    canvas += rng.standard_normal((SIZE_PX, SIZE_PX, 1), dtype=np.float32) * np.float32(rng.uniform(1, 7))
    masks = np.zeros((len(scene.things), SIZE_PX, SIZE_PX), dtype=np.bool_)
    for thing, mask in zip(scene.things, masks, strict=True):
        left, top, right, bottom = thing.box_px
        cover = _coverage(thing.name, right - left, bottom - top)
        colour = np.array(COLOURS[thing.colour], dtype=np.float32) + rng.uniform(-14, 14, 3).astype(np.float32)
        region = canvas[top:bottom, left:right]
        region += cover[..., None] * (colour - region)
        mask[top:bottom, left:right] = cover >= 0.5
    return np.clip(canvas, 0, 255).astype(np.uint8), masks
