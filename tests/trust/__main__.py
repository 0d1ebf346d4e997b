"""`python -m tests.trust [NAME...] [--full] [--seed N] [--case I]`: tries to break the promises of docs/promises.md."""

from __future__ import annotations

import argparse
import datetime
import logging
import multiprocessing
import secrets
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.trust import ledger
from tests.trust.promise import Promise, Trial, figure
from tests.trust.registry import KINDS, all_promises, chosen

SHOWN = 20


def main() -> int:
    """Returns the exit code: 1 where a promise is broken, 2 for a name that is none."""
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a promise, or one of {' and '.join(KINDS)}")
    parser.add_argument("--full", action="store_true", help="the full count; writes docs/promises.md anew")
    parser.add_argument("--seed", type=int, help="what random choices derive from; otherwise drawn, and printed")
    parser.add_argument("--case", type=int, help="this one case alone")
    parser.add_argument("--minutes", type=float, help="for each promise, begin no further case after this time")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the cases (fuzzing only)")
    parser.add_argument("--list", action="store_true", help="names and sentences")
    parser.add_argument("--document", action="store_true", help="write docs/promises.md anew from what is kept")
    options = parser.parse_args()
    # What is logged of each damaged file would bury the figures.
    logging.getLogger("flowtui").addHandler(logging.NullHandler())
    try:
        promises = chosen(options.names)
    except KeyError as error:
        print(f"There is no promise {error}; python -m tests.trust --list shows them.", file=sys.stderr)
        return 2
    if options.case is not None and len(promises) != 1:
        parser.error("--case needs the name of one promise")
    if options.document:
        ledger.rewrite(all_promises())
    elif options.list:
        for promise in promises:
            print(f"{promise.name:24} {promise.kind:7} {promise.sentence}")
    else:
        broken = [p.name for p in promises if not _try(p, options)]
        print(f"Broken: {', '.join(broken)}." if broken else "Every promise held.")
        return 1 if broken else 0
    return 0


def _try(promise: Promise, options: argparse.Namespace) -> bool:
    """Runs one promise and prints its line; returns whether it held."""
    if reason := promise.cannot():
        print(f"{promise.name}: not tried, {reason}", flush=True)
        return True
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flowtui-trust-") as folder:
        trial = Trial(
            seed=seed,
            count=promise.full if options.full else promise.short,
            folder=Path(folder),
            only=options.case,
            until_s=None if options.minutes is None else began + 60 * options.minutes,
            say=lambda line: print(f"  {promise.name}: {line}", flush=True),
        )
        print(f"{promise.name}: seed {seed}", flush=True)
        jobs = options.jobs if promise.kind == "fuzz" else 1
        _run_shared(promise, trial, jobs) if jobs > 1 else promise.run(trial)
    seconds = time.monotonic() - began
    print(f"{promise.name}: {figure(trial)}, {len(trial.failures):,} failures in {seconds:.0f} s", flush=True)
    for case, what in trial.failures[:SHOWN]:
        print(f"  BROKEN {what}\n    again: {promise.replay(seed, case)}", flush=True)
    if options.full and options.case is None:
        row = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "seed": seed,
            "seconds": round(seconds, 1),
            "counts": trial.counts,
            "failures": len(trial.failures),
            "complete": trial.complete,
        }
        ledger.record(all_promises(), promise.name, row)
    return not trial.failures


def _run_shared(promise: Promise, trial: Trial, jobs: int) -> None:
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        shares = [replace(trial, share=(i, jobs), counts={}, failures=[], say=_say) for i in range(jobs)]
        for done in [pool.submit(_run_share, promise.name, share) for share in shares]:
            trial.join(done.result())


def _run_share(name: str, trial: Trial) -> Trial:
    (promise,) = chosen([name])
    trial.folder = trial.folder / str(trial.share[0])
    trial.folder.mkdir()
    promise.run(trial)
    return trial


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
