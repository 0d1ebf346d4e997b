"""The current layer as a few lines of text, for the clipboard."""

from __future__ import annotations

import numpy as np

from flowtui.engine.results import GROUPS
from flowtui.tui.draw.bars import percent
from flowtui.tui.text import visible

from .facts import KIND_NAMES, NORM_NAMES, Facts, Gap
from .look import Look


def layer_text(facts: Facts, look: Look) -> str:
    """What the screen says about the layer, safe to paste anywhere."""
    run = facts.run
    which = "all answer tokens"
    if look.token is not None:
        which = f"answer token {look.token} “{visible(run.answer.tokens[look.token])}”"
    lines = [
        f"{visible(run.model.name)}, layer {look.layer}/{facts.layers - 1}, {which}",
        f"question: {visible(run.spec.question)}",
        f"answer: {visible(run.answer.text)}",
    ]
    shares = facts.shares(look.token, look.norm)[look.layer]
    if np.isfinite(shares).all():
        each = ", ".join(f"{name} {percent(float(share)).strip()}" for name, share in zip(GROUPS, shares, strict=True))
        lines.append(f"attention share ({NORM_NAMES[look.norm][0]}): {each}")
    heat = facts.heat_of(look)
    head = f" of head {look.head}, all answer tokens" if look.kind == "attention" and look.head is not None else ""
    lines.append(
        f"{KIND_NAMES[look.kind]}{head}: "
        + (heat.note if isinstance(heat, Gap) or heat.note else f"max {heat.high}, {heat.peak}")
    )
    curve = facts.curve(look.token)
    if curve is not None and np.isfinite(curve.kl[look.layer]):
        lines.append(
            f"image cut at K = {look.layer}: KL {curve.kl[look.layer]:.4f} nats, "
            f"log p {facts.logprob(look.layer, look.token):.3f}, answer “{visible(facts.text_at(look.layer) or '')}”"
        )
    if facts.cliff is not None:
        lines.append(
            "no cliff" if facts.cliff.k is None else f"cliff: K = {facts.cliff.k} (eta {facts.cliff.eta:g} nats)"
        )
    return "\n".join(lines)
