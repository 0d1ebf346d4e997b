"""Several processes at one cache: one of them computes, none waits for a dead one, kills leave no wrong bytes."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from flowtui.cache.store import LayerCache

KEYS = [f"{i:064x}" for i in range(5)]


def value_of(key: str) -> bytes:
    """What the computation for a key gives: half of them in files, half in the index."""
    return key.encode() * (1000 if int(key, 16) % 2 else 3)


def compute_all(folder: Path, log: Path, count: int, arrived: Any, changed: Any) -> None:
    with LayerCache.open(folder) as cache:
        for i, key in enumerate(KEYS):
            with changed:
                arrived[i] += 1
                changed.notify_all()
            with cache.lock(key):
                if cache.get(key) is None:
                    # Takes until all the others want it too: without the lock they would be in here by now.
                    with changed:
                        assert changed.wait_for(lambda i=i: arrived[i] == count, 100)
                    # One write, appended: whole lines whichever process writes them.
                    with log.open("a") as file:
                        file.write(f"{key}\n")
                    cache.put(key, value_of(key))
            if cache.get(key) != value_of(key):
                sys.exit(1)
        if cache.take_notices():
            sys.exit(2)


def test_processes_that_start_together_compute_each_key_once(tmp_path: Path) -> None:
    # They also make the folder and the index together.
    count, context = 5, multiprocessing.get_context("spawn")
    changed, arrived = context.Condition(), context.Array("i", len(KEYS), lock=False)
    arguments = (tmp_path / "cache", tmp_path / "log", count, arrived, changed)
    workers = [context.Process(target=compute_all, args=arguments, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(200)
    assert [worker.exitcode for worker in workers] == [0] * count
    assert sorted((tmp_path / "log").read_text().split()) == KEYS
    with LayerCache.open(tmp_path / "cache") as cache:
        assert cache.info().entries == len(KEYS)
        assert cache.verify().ok


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that has got as far as printing its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


HOLDER = """
import sys
from pathlib import Path
from flowtui.cache.store import LayerCache
with LayerCache.open(Path(sys.argv[1])) as cache, cache.lock(sys.argv[2]) as mine:
    print("ready" if mine else "not mine", flush=True)
    sys.stdin.read()
"""


def test_a_held_lock_holds_and_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    with LayerCache.open(tmp_path / "cache") as cache:
        holder = start(HOLDER, tmp_path / "cache", KEYS[0])
        try:
            with cache.lock(KEYS[0], wait_s=0) as mine:
                assert not mine
            # Another key is free.
            with cache.lock(KEYS[1], wait_s=0) as mine:
                assert mine
        finally:
            kill(holder)
        with cache.lock(KEYS[0], wait_s=30) as mine:
            assert mine
            with cache.lock(KEYS[0], wait_s=0) as twice:
                assert not twice
        # Given back, without anyone waiting for it.
        with cache.lock(KEYS[0], wait_s=0) as mine:
            assert mine


def test_locks_that_do_not_work_do_not_stop_the_work(tmp_path: Path) -> None:
    with LayerCache.open(tmp_path / "cache") as cache:
        (tmp_path / "cache" / "locks" / f"{KEYS[0]}.lock").mkdir()
        with cache.lock(KEYS[0]) as mine:
            assert mine
        assert len(cache.take_notices()) == 1


WRITER = """
import sys
from pathlib import Path
from flowtui.cache.store import LayerCache
with LayerCache.open(Path(sys.argv[1])) as cache:
    print("ready", flush=True)
    for i in range(20_000):
        key = f"{i % 50:064x}"
        cache.put(key, key.encode() * (1000 if i % 3 else 3))
"""


def test_a_writer_killed_in_the_middle_leaves_no_wrong_bytes(tmp_path: Path) -> None:
    for _ in range(3):
        writer = start(WRITER, tmp_path / "cache")
        try:
            with LayerCache.open(tmp_path / "cache") as cache:
                # Reading while it writes: what is read is whole.
                for i in range(100):
                    key = f"{i % 50:064x}"
                    assert cache.get(key) in (None, key.encode() * 1000, key.encode() * 3)
        finally:
            kill(writer)
        with LayerCache.open(tmp_path / "cache") as cache:
            report = cache.verify()
            assert (report.bad, report.index) == ((), "")
            assert cache.info().dropped == 0
            assert cache.put("f" * 64, b"x")
