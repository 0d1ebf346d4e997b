"""A sweep at one K as a few lines of text, for the clipboard."""

from __future__ import annotations

from flowtui.tui.text import visible

from .sweepfacts import SweepFacts
from .sweeplook import WHICH_NAMES, SweepLook
from .sweepview import k_words


def sweep_text(facts: SweepFacts, look: SweepLook) -> str:
    """What the screen says about the K, safe to paste anywhere."""
    sweep, found = facts.sweep, facts.found(look)
    lines = [
        f"{visible(sweep.dataset)}, {visible(sweep.model.name)}, {len(facts.counted)} items, "
        f"cut {facts.labels[look.curve]}",
        k_words(facts, look, found)[0],
    ]
    if found is not None:
        lines.append(found.verdict)
    lines.append(f"{WHICH_NAMES[look.which]}: {len(facts.listed(look))}")
    for item in facts.listed(look).tolist():
        kept = sweep.items[item]
        at_k, whole = facts.text(look, item, look.k), facts.text(look, item, facts.layers)
        lines.append(f"{visible(kept.id)}\t{at_k}\t{whole}\t{facts.truth(item)}")
    return "\n".join(lines)
