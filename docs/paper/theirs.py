"""The paper's own numbers: LLaVA-1.5-7B's lines of Table 1 and its cliffs.

Source: Zhang et al., NAACL 2025 (arXiv 2406.06579), Table 1, Figures 2 and 5, sections 3.2 and 4.2, appendix A.2.
Layers count from 1 there.
"""

from __future__ import annotations

from dataclasses import dataclass

LAYERS = 32
EARLY_LAYERS = 5
"""In layers 1 to 5 the image's share of attention falls."""
BLIND = 47.5
"""Accuracy without a single image token, percent."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of Table 1.

    Attributes:
        like: The data set.
        metric: As the paper names it.
        sweep, own: Sweep and metric here.
        paper: LLaVA-1.5's baseline and score at the cliff, percent.
        paper_cliff: LLaVA-1.5's cliff, of 32 layers; None: the paper gives it for the data set's other metric.
    """

    like: str
    metric: str
    sweep: str
    own: str
    paper: tuple[float, float]
    paper_cliff: int | None


TABLE = (
    TableRow("POPE", "accuracy", "pope", "pope.accuracy", (84.70, 85.51), 22),
    TableRow("POPE", "F1", "pope", "pope.f1", (85.50, 85.99), None),
    TableRow("ScienceQA", "accuracy", "scienceqa", "scienceqa.image_accuracy", (65.00, 66.48), 12),
    TableRow("TextVQA", "accuracy", "textvqa", "textvqa.accuracy", (59.34, 60.02), 18),
    TableRow("CHAIR", "CHAIR_s", "chair", "chair.chair_s", (13.80, 13.80), 30),
)
ORDER = ("scienceqa", "textvqa", "pope", "chair")
"""Sweeps in the order of the paper's cliffs."""
