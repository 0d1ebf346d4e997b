"""The metric of each data set. Torch-free."""

from __future__ import annotations

from .demo import Demo
from .metric import Metric
from .pope import Pope
from .scienceqa import ScienceQa
from .textvqa import TextVqa

METRICS: dict[str, Metric] = {
    "pope": Pope(),
    "textvqa": TextVqa(),
    "scienceqa": ScienceQa(),
    "demo": Demo(),
}
