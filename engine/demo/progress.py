"""Progress of a training run: one JSON line at a time."""

from __future__ import annotations

import json
import logging
import time

log = logging.getLogger("flowtui.engine.demo.train")


def report(stage: str, step: int, start: float, **values: float) -> None:
    """One JSON line of progress."""
    rounded = {k: round(v, 4) for k, v in values.items()}
    log.info(json.dumps({"stage": stage, "step": step, "seconds": round(time.monotonic() - start), **rounded}))
