"""The metric of each data set. Torch-free."""

from __future__ import annotations

from .chair import Chair
from .demo import Demo
from .metric import Metric
from .objects import mentions
from .pope import Pope
from .scienceqa import ScienceQa
from .textvqa import TextVqa

METRICS: dict[str, Metric] = {
    "pope": Pope(),
    "textvqa": TextVqa(),
    "scienceqa": ScienceQa(),
    "chair": Chair(mentions),
    "demo": Demo(),
}
