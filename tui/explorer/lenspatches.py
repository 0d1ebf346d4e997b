"""The lens at the image tokens: a map of words, and the one under the cursor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from textual.strip import Strip

from flowtui.tui.draw.bars import percent
from flowtui.tui.draw.cells import beside, clip, heading, line, wrap_first
from flowtui.tui.draw.fields import fit_cells
from flowtui.tui.draw.ranking import ranking
from flowtui.tui.draw.wordgrid import WordGrid, grid_lines, plan_grid

from .frame import Frame
from .lensfacts import LensFacts, Patches, plain_word
from .look import Look

MIN_PHOTO_ROWS = 4


def patch_of(look: Look) -> int:
    """The image token under the view's cursor."""
    return look.patch if look.patch is not None else look.cell or 0


def plan_words(
    numbers: LensFacts, look: Look, width: int, rows: int, across: int
) -> tuple[WordGrid, NDArray[np.int64]]:
    """The layout of the current grid, and the image token of each of its cells.

    Args:
        numbers: The lens.
        look: What is shown.
        width: Cells.
        rows: Lines.
        across: Columns for image tokens without a grid.
    """
    indices, _ = numbers.grid_at(patch_of(look), across)
    return plan_grid(indices.shape[0], indices.shape[1], width, rows), indices


def word_map(frame: Frame, numbers: LensFacts, patches: Patches, width: int, height: int, across: int) -> list[Strip]:
    """The likeliest word of each patch."""
    look, ink = frame.look, frame.ink
    grid, indices = plan_words(numbers, look, width, height - 1, across)
    _, name = numbers.grid_at(patch_of(look), across)
    flat = indices.ravel()
    known = flat >= 0
    words = [plain_word(patches.words[i]) if i >= 0 else " " for i in flat.tolist()]
    probs = np.where(known, patches.probs[flat], 0)
    part = ""
    if grid.shown != (grid.rows, grid.cols):
        part = f"{grid.shown[0]}×{grid.shown[1]} of {grid.rows}×{grid.cols}"
    title = heading(ink, width, "Image words", "", (f"{name} {part}".strip(), part))
    special = known & patches.answer[flat]
    return [title, *grid_lines(ink, width, grid, words, probs, special, place_in(indices, look))]


def current_patch(
    frame: Frame, numbers: LensFacts, patches: Patches, width: int, height: int, across: int
) -> list[Strip]:
    """The patch under the cursor, how often each word is the likeliest, and the photo where there is room."""
    facts, look, ink = frame.facts, frame.look, frame.ink
    patch = patch_of(look)
    indices, _ = numbers.grid_at(patch, across)
    place = place_in(indices, look)
    where = f"row {place[0]} col {place[1]}" if place is not None else f"image token {patch}"
    word, prob = patches.words[patch], percent(float(patches.probs[patch])).strip().replace(" ", "\u00a0")
    made = [heading(ink, width, f"Layer {look.layer}/{facts.layers - 1}", "", (where,))]
    same = dict(patches.counts)[word]
    says = (f"“{word}”, probability {prob}; at {same} of {len(patches.words)} image tokens.",
            f"“{word}” {prob}, at {same} of {len(patches.words)}")  # fmt: skip
    made += [line(ink, width, (text, ink.strong)) for text in wrap_first(says, width, 3)]
    made.append(heading(ink, width, "Most frequent", "", (f"{len(patches.counts)} words",)))
    top = patches.counts[0][1]
    room = height - len(made)
    listed = room if room < 2 * MIN_PHOTO_ROWS + 1 else min(len(patches.counts), room // 2)
    entries = [(i, clip(w, 14), str(n), n / top) for i, (w, n) in enumerate(patches.counts[:listed])]
    chosen = next((i for i, (w, _) in enumerate(patches.counts) if w == word), None)
    made += ranking(ink, width, entries, chosen)
    if height - len(made) > MIN_PHOTO_ROWS:
        size = fit_cells(frame.painter.ratio, width, height - len(made) - 1)
        photo = frame.painter.draw(None, 0, size, ink.background)
        made += [line(ink, width), *(beside(ink, width, strip, (width - size[0]) // 2) for strip in photo)]
    return made


def place_in(indices: NDArray[np.int64], look: Look) -> tuple[int, int] | None:
    """Row and column of the image token under the cursor; None where it is no cell."""
    found = np.argwhere(indices == patch_of(look))
    return (int(found[0][0]), int(found[0][1])) if len(found) else None
