"""Eight processes want one key at the same moment: one of them computes it, and none waits for one that was killed."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from flowtui.cache.store import LayerCache
from tests.trust.kills import in_child, kill
from tests.trust.promise import Promise, Trial

PROCESSES = 8
MOST_S = 1.0
LONG_S = 120


def _value(key: str) -> bytes:
    return key.encode() * (3 if int(key, 16) % 2 else 3000)


def _one_key(trial: Trial) -> None:
    for what in ("keys", "computed twice", "not stored"):
        trial.add(what, 0)
    for case in trial.cases():
        folder, key = trial.folder / "cache", f"{case:064x}"
        with LayerCache.open(folder):
            pass
        go, start = os.pipe()
        log = trial.folder / "log"
        log.unlink(missing_ok=True)
        children = [in_child(partial(_want, folder, key, log, go, start)) for _ in range(PROCESSES)]
        os.close(go)
        os.close(start)  # all of them read its end at once
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        computed = len(log.read_text()) if log.exists() else 0
        trial.add("keys")
        trial.add("computed twice", max(0, computed - 1))
        trial.add("not stored", sum(code != 0 for code in codes))
        if computed != 1 or any(codes):
            trial.fail(case, f"computed {computed} times; exit codes {codes}")


def _want(folder: Path, key: str, log: Path, go: int, start: int) -> None:
    os.close(start)
    with LayerCache.open(folder) as cache:
        os.read(go, 1)
        with cache.lock(key):
            if cache.get(key) is None:
                with log.open("a") as file:
                    file.write("x")
                cache.put(key, _value(key))
        if cache.get(key) != _value(key):
            os._exit(3)


def _killed_holder(trial: Trial) -> None:
    for what in ("holders killed", "waited too long", "ms at most"):
        trial.add(what, 0)
    for case in trial.cases():
        folder, key = trial.folder / "cache", f"{case:064x}"
        held, hold = os.pipe()
        holder = in_child(partial(_hold, folder, key, hold))
        os.read(held, 1)
        got, get = os.pipe()
        waiters = [in_child(partial(_wait, folder, key, get)) for _ in range(PROCESSES - 1)]
        # They are all waiting when the holder dies, or about to: the moment is drawn.
        time.sleep(trial.rng(case).uniform(0, 0.3))
        killed_s = time.monotonic()
        kill(holder)
        first_s = _read_time(got) - killed_s
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in waiters]
        for handle in (held, hold, got, get):
            os.close(handle)
        trial.add("holders killed")
        trial.most("ms at most", 1000 * first_s)
        if first_s > MOST_S or any(codes):
            trial.add("waited too long")
            trial.fail(case, f"the next one had the key after {first_s:.2f} s; exit codes {codes}")


def _hold(folder: Path, key: str, ready: int) -> None:
    with LayerCache.open(folder) as cache, cache.lock(key) as mine:
        os.write(ready, b"x" if mine else b"-")
        signal.pause()


def _wait(folder: Path, key: str, ready: int) -> None:
    with LayerCache.open(folder) as cache, cache.lock(key, wait_s=LONG_S) as mine:
        if not mine:
            os._exit(3)
        # The clock is the same one in all processes.
        os.write(ready, f"{time.monotonic():.6f}\n".encode())


def _read_time(handle: int) -> float:
    return float(os.read(handle, 17).split(b"\n")[0])


PROMISES = (
    Promise(
        "one-key",
        "faults",
        "Of eight processes that want the same entry at once, one computes it",
        500,
        4,
        _one_key,
    ),
    Promise(
        "killed-holder",
        "faults",
        "A process killed while it computes an entry keeps nobody who waits for it for more than 1 s",
        200,
        3,
        _killed_holder,
    ),
)
