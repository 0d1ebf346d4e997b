"""What happens at each K, as a table that scrolls with the current one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from textual.strip import Strip

from .cells import Part, clip, line
from .ink import Ink

NUMBER_CELLS = 8


@dataclass(frozen=True, slots=True)
class Cut:
    """One K.

    Attributes:
        kl, logprob: Nats, NaN where missing.
        same: Whether the greedy answer is the full model's, None where missing.
        text: The greedy answer, safe to show.
    """

    kl: float
    logprob: float
    same: bool | None
    text: str


def k_table(ink: Ink, width: int, height: int, cuts: Sequence[Cut], k: int, cliff: int | None) -> list[Strip]:
    """Draws the rows around the current K.

    Args:
        ink: Colours.
        width: Cells.
        height: Lines, the header included.
        cuts: K = 0..L; the last is the untouched model.
        k: Current K.
        cliff: The cliff's K, or None.

    Returns:
        `height` strips at most: a header, then one row per K.
    """
    digits = max(2, len(str(len(cuts) - 1)))
    shown = max(1, height - 1)
    first = max(0, min(k - shown // 2, len(cuts) - shown))
    header = f"  {'K':>{digits}}{'KL nats':>{NUMBER_CELLS + 1}}{'log p':>{NUMBER_CELLS - 1}}  "
    room = width - len(header)
    names = ("greedy answer (● same, ○ another)", "● same ○ another", "answer")
    header += next((name for name in names if len(name) <= room), "")
    made = [line(ink, width, (header, ink.dim))]
    for i, cut in enumerate(cuts[first : first + shown], first):
        current = i == k
        tone = ink.strong if current else ink.text
        parts: list[Part] = [
            ("▸" if current else " ", ink.accent),
            ("◆" if i == cliff else " ", ink.cliff),
            (f"{i:>{digits}}", ink.mark if current else ink.cliff if i == cliff else ink.text),
        ]
        if cut.same is None:
            parts.append(("  not computed", ink.dim))
        else:
            parts += [
                (f"{small(cut.kl):>{NUMBER_CELLS + 1}}{_signed(cut.logprob):>{NUMBER_CELLS - 1}}", tone),
                ("  ● " if cut.same else "  ○ ", ink.groups[3] if cut.same else ink.groups[1]),
            ]
            name = "untouched: " if i == len(cuts) - 1 else ""
            room = width - 2 - digits - 2 * NUMBER_CELLS - 4 - len(name)
            parts += [(name, ink.dim), (clip(cut.text or "(no text)", max(0, room)), tone if cut.text else ink.dim)]
        made.append(line(ink, width, *parts))
    return made[:height]


def small(value: float) -> str:
    """A number of nats that is never negative; what is not quite zero does not look like it."""
    if not np.isfinite(value):
        return "·"
    return "0" if value == 0 else "<0.001" if value < 0.001 else f"{value:.3f}" if value < 100 else f"{value:.1f}"


def _signed(value: float) -> str:
    if not np.isfinite(value):
        return "·"
    return f"{value:.2f}".replace("-", "−")
