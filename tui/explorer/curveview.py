"""The truncation curve with the cliff, and what happens at the current K."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from rich.text import Text
from textual.strip import Strip

from flowtui.engine.cliff import DEFAULT_ETA_NATS, describe_rule
from flowtui.tui.draw.cells import heading, line, wrap, wrap_first
from flowtui.tui.draw.curve import AXIS_CELLS, Curve, curve_canvas, curve_lines
from flowtui.tui.text import visible

from .facts import Facts
from .frame import Frame
from .mapview import note_lines
from .panel import Panel

MIN_PLOT_CELLS = 4
"""With fewer columns there is no curve, only words."""


class CurvePanel(Panel):
    """KL over K. The plot is kept; a step only moves the mark on it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._kept: tuple[Hashable, list[Text]] = (None, [])

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Heading, curve, marks, axis, the current K in words, the rule."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        curve = facts.curve(look.token)
        made = [heading(ink, width, "Image cut at K", "KL, nats", (cliff_words(facts),))]
        if curve is None:
            rule = f"Cliff: {describe_rule()}"
            return (
                made
                + note_lines(ink, width, f"{facts.gap('truncation')} Press r to compute it.", ink.warn, 2)
                + [line(ink, width, (text, ink.dim)) for text in wrap(rule, width, max(0, height - 3))]
            )
        # K = layer: the layer on screen is then the first one that does not see the image.
        words = words_at(facts, look.layer, look.token, curve)
        if width < AXIS_CELLS + MIN_PLOT_CELLS:
            return made + note_lines(ink, width, words[-1], ink.text, height - 1)
        now = wrap_first(words, width, 2 if height < 14 else 3)
        rules = rule_lines(facts, width, max(1, min(4, height - 6 - len(now))))
        rows = max(1, height - 3 - len(now) - len(rules))
        made += curve_lines(ink, width, self._canvas(frame, curve, width - AXIS_CELLS, rows), curve, look.layer)
        made += [line(ink, width, (text, ink.text)) for text in now]
        made += [line(ink, width, (text, ink.dim)) for text in rules]
        return made

    def _canvas(self, frame: Frame, curve: Curve, width: int, rows: int) -> list[Text]:
        key = (curve.kl.tobytes(), curve.cliff, width, rows, frame.ink.background)
        if self._kept[0] != key:
            self._kept = (key, curve_canvas(curve, max(2, width), rows, frame.ink))
        return self._kept[1]


def cliff_words(facts: Facts) -> str:
    """The cliff in two words."""
    if facts.cliff is None:
        missing = len(facts.run.missing("truncation"))
        return f"{facts.layers + 1 - missing}/{facts.layers + 1} K there"
    return "no cliff" if facts.cliff.k is None else f"cliff K {facts.cliff.k}"


def words_at(facts: Facts, k: int, token: int | None, curve: Curve) -> tuple[str, ...]:
    """What cutting the image at K does, in words: in full, and shorter."""
    if not np.isfinite(curve.kl[k]):
        return (f"K {k}: not computed yet. Press r.",)
    seen = ("no layer sees the image", "layer 0 sees the image", f"layers 0–{k - 1} see the image")[min(k, 2)]
    seen = "every layer sees the image" if k == facts.layers else seen
    text = visible(facts.text_at(k) or "").strip()
    answer = "same answer" if curve.same[k] else f"answers “{text}”" if text else "answers with no text"
    # A true minus sign, as wide as the digits.
    logprob = f"{facts.logprob(k, token):.2f}".replace("-", "−")
    return (
        f"K {k}: {seen}, KL {curve.kl[k]:.3f} nats, log p {logprob}, {answer}",
        f"K {k}: KL {curve.kl[k]:.3f} nats, log p {logprob}, {answer}",
        f"K {k}: KL {curve.kl[k]:.2f} nats, {answer}",
    )


def rule_lines(facts: Facts, width: int, rows: int) -> list[str]:
    """The cliff's rule, as fully as it fits."""
    eta = facts.cliff.eta if facts.cliff is not None else DEFAULT_ETA_NATS
    rules = (
        f"Cliff: {describe_rule(eta)}",
        f"cliff: smallest K with the same answer and mean KL ≤ {eta:g} nats at every j ≥ K",
        f"cliff: same answer, KL ≤ {eta:g} nats from K on",
        f"cliff: same, KL ≤ {eta:g} nats",
    )
    return wrap_first(rules, width, rows)
