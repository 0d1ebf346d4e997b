"""Layouts of families with query tokens, which have no grid of their own."""

from __future__ import annotations

from flowtui.engine.results import Span
from flowtui.errors import UsageError

from .seen import Layout, Seen


def queries(seen: Seen) -> tuple[Span, ...]:
    """One span without grid: every query token may see the whole image (`flowtui.engine.queries` tells where)."""
    if len(seen.image_sizes) != 1:
        raise UsageError(
            f"The {seen.family} model takes one image per prompt, not {len(seen.image_sizes)}.", "Ask one by one."
        )
    width, height = seen.image_sizes[0]
    start, end = int(seen.image_positions[0]), int(seen.image_positions[-1]) + 1
    return (Span(0, start, end, 0, 0, 0, (0.0, 0.0, float(width), float(height))),)


LAYOUTS: dict[str, Layout] = {"blip-2": queries, "instructblip": queries}
