"""A small job over made-up data, and records of it that need no model."""

from __future__ import annotations

from dataclasses import replace

from flowtui.engine.datasets.demo import open_demo
from flowtui.engine.results import ModelInfo
from flowtui.engine.sweeps.journal import Record
from flowtui.engine.sweeps.plan import Cut, Job, Options

INFO = ModelInfo("demo", "/somewhere", None, "llava", "f" * 32, 3, 4, 4, 128, "float32", "cuda:1", 1e-7)
OPTIONS = Options((Cut(), Cut("top-r", 2)), seed=3, max_new_tokens=8)


def small_job(items: int = 9, **options: object) -> Job:
    """Questions on two scenes."""
    return Job.of(open_demo(items, 1), replace(OPTIONS, **options), INFO)  # type: ignore[arg-type]


def fake_record(job: Job, item: int) -> Record:
    """A record that says which item it is of."""
    count = job.model.layers + 1
    curve = {
        "texts": [f"answer {item}", "none"],
        "text": [1] * (count - 1) + [0],
        "logprob": [-0.125 * item] * count,
        "kl": [0.5] * (count - 1) + [0.0],
        "same": [False] * (count - 1) + [True],
    }
    return {
        "item": item,
        "ids": [item, 7],
        "stopped": True,
        "answer": f"answer {item}",
        "curves": [curve for _ in job.options.cuts],
        "traits": None,
    }
