"""Every file that a stranger can hand over, made hostile in every known way: nothing runs, nothing is reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.trust.attacks.child import MODEL_MODULES, MODULES, load
from tests.trust.promise import Promise, Trial

ROOT = Path(__file__).resolve().parents[2]


def _attack(trial: Trial, modules: tuple[str, ...]) -> None:
    """Runs attacks in a process of their own and counts what they achieved."""
    cases = list(trial.cases(len(load(modules))))
    for what in ("attacks", "code runs", "paths outside", "hangs", "unclear ends"):
        trial.add(what, 0)
    trial.folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.trust.attacks.child", str(trial.folder), ",".join(modules)],
        input=json.dumps(cases),
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        trial.fail(cases[0], f"the process that was attacked ended with {done.returncode}")
        return
    for found in json.loads(done.stdout.splitlines()[-1]):
        trial.add("attacks")
        trial.most("ms at most", 1000 * found["seconds"])
        for what, wrong in (
            ("code runs", "; ".join(found["ran"])),
            ("paths outside", "; ".join(found["reached"])),
            ("hangs", "it hung" if found["hung"] else ""),
            ("unclear ends", found["wrong"]),
        ):
            if wrong:
                trial.add(what)
                trial.fail(found["case"], f"{found['name']}: {what}: {wrong[:600]}")


PROMISES = (
    Promise(
        "attacks",
        "fuzz",
        "Run files, sweeps, caches, images, frames and settings made to do harm run nothing, reach nothing outside, "
        "hang nothing and end in one clear error",
        None,
        40,
        lambda trial: _attack(trial, MODULES),
    ),
    Promise(
        "attacking-models",
        "fuzz",
        "Model folders made to do harm run nothing, reach nothing outside, hang nothing and end in one clear error",
        None,
        4,
        lambda trial: _attack(trial, MODEL_MODULES),
    ),
)
