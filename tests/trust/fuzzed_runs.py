"""A million damaged and hostile run files: each is a run that can be shown, or one clear error, soon."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from flowtui.cache.pickledata import loads
from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.summary import summarise
from flowtui.tui.table import to_csv, to_json, to_text
from tests.factories import random_run
from tests.trust.mutate import SNIPPETS, bytes_damaged, pickled, plain_damaged, steps_damaged, steps_of
from tests.trust.promise import Promise, Trial

MOST_SECONDS = 1.0
MOST_BYTES = 256 << 20
HANG_S = 10
LONGEST_MESSAGE = 500


@lru_cache
def originals() -> tuple[dict[str, Any], ...]:
    """Good runs of several shapes, small: most of a large one would be numbers, which are anything anyway."""
    return (
        random_run(layers=1, heads=1, grid=(1, 1), answer=("a",), cliff=0).to_plain(),
        random_run(layers=2, heads=2, grid=(2, 3), answer=("a", "b"), cliff=1, seed=1).to_plain(),
        random_run(layers=3, heads=1, grid=(2, 2), answer=("a",), cliff=None, analyses=("truncation",)).to_plain(),
        random_run(layers=2, heads=1, grid=(2, 2), answer=("a",), cliff=1, analyses=("attention", "cam")).to_plain(),
        random_run(layers=2, heads=1, grid=(1, 2), answer=("é", "\n"), cliff=1, analyses=()).to_plain(),
    )


@lru_cache
def good_pickles() -> tuple[tuple[bytes, list[bytes]], ...]:
    rng = random.Random(0)
    made = [pickled(plain, rng) for plain in originals() for _ in range(2)]
    return tuple((data, steps_of(data)) for data in made)


def hostile_file(rng: random.Random) -> bytes:
    """A damaged run file; one in a thousand is as heavy as the caps allow."""
    data, steps = rng.choice(good_pickles())
    match rng.randrange(10):
        case 0 | 1 | 2:
            return bytes_damaged(data, rng, rng.choice(good_pickles())[0])
        case 3 | 4 | 5:
            return steps_damaged(steps, rng)
        case 6 if rng.random() < 0.01:
            return heavy(rng)
        case 6:
            return bytes_damaged(steps_damaged(steps, rng), rng)
        case _:
            return pickled(plain_damaged(rng.choice(originals()), rng), rng)


def heavy(rng: random.Random) -> bytes:
    """A small file that asks for as much work as possible: floods of instructions, shared and nested values."""
    count = rng.choice((100_000, 250_000, 500_000, 1_000_000))
    few = rng.randint(1, 40)
    body = rng.choice(
        (
            b"](" + b"}" * count + b"e",
            b"](" + b"]N\x85" * (count // 3) + b"e",
            b"}(" + b"".join(b"\x8c\x08%08dN" % i for i in range(count // 3)) + b"u",
            b"}" + b"".join(b"\x8c\x08%08dNs" % i for i in range(count // 4)),
            b"N" + b"\x94" * count,
            b"(" * count,
            b"](" + b"".join(b"j" + i.to_bytes(4, "little") for i in range(count // 8)) + b"e",
            b"](" + (b"\x8a\x3f" + b"\x01" * 63) * (count // 8) + b"e",
            b"](" + (b"\x8c\x06" + "éèê".encode()) * (count // 2) + b"e",
            b"](" + b"]\x94(" + b"N" * (count // 4) + b"e" + b"h\x00" * 1000 + b"e",
            b"]\x94" + b"".join(b"](h%ch%ce\x94" % (i, i) for i in range(few)),
            b"X" + (1 << 21).to_bytes(4, "little") + b"a" * (1 << 21) + b"\x94(" + b"h\x00" * few + b"t",
            rng.choice(SNIPPETS) * (count // 4),
        )
    )
    return b"\x80\x04" + body + b"."


def open_run(data: bytes) -> Run:
    """What opening a run file does once its bytes are read."""
    return Run.from_plain(loads(data, "evil.pkl"))


def show_run(run: Run) -> None:
    """What `flowtui show` makes of it."""
    content = summarise(run)
    to_json(content), to_text(content), to_csv(content)


class HungError(BaseException):
    """A case took so long that it was stopped."""


@contextmanager
def watched(trial: Trial, case: int, name: str) -> Iterator[None]:
    """Times a case in CPU seconds, so that a busy machine changes nothing, and measures its peak of memory."""
    before = _resident_peak(reset=True)
    began = time.thread_time()
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        yield
    except HungError:
        trial.fail(case, f"{name} was stopped after {HANG_S} s of work")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds, grown = time.thread_time() - began, _resident_peak() - before
    trial.most("ms at most", 1000 * seconds)
    trial.most("MiB at most", grown / (1 << 20))
    if seconds >= MOST_SECONDS:
        trial.fail(case, f"{name} took {seconds:.2f} s")
    if grown >= MOST_BYTES:
        trial.fail(case, f"{name} took {grown >> 20} MiB")


def fuzz(
    trial: Trial, make: Callable[[random.Random], bytes], read: Callable[[bytes], Any], use: Callable[[Any], None]
) -> None:
    """Reads made files; whatever is accepted has to be of use."""
    for what in ("files", "accepted", "unclear errors", "ms at most", "MiB at most"):
        trial.add(what, 0)
    old = signal.signal(signal.SIGPROF, _hung)
    try:
        with limited_memory():
            for case in trial.cases():
                data = make(trial.rng(case))
                with watched(trial, case, f"a file of {len(data)} bytes"):
                    trial.add("files")
                    wrong = _read(trial, data, read, use)
                if wrong:
                    trial.add("unclear errors")
                    trial.fail(case, wrong)
    finally:
        signal.signal(signal.SIGPROF, old)


def _read(trial: Trial, data: bytes, read: Callable[[bytes], Any], use: Callable[[Any], None]) -> str:
    try:
        value = read(data)
    except FlowtuiError as error:
        return unclear(error)
    except Exception as error:  # noqa: BLE001  (that nothing else comes out is what is tried)
        return f"reading raised {type(error).__name__}: {str(error)[:200]}"
    trial.add("accepted")
    try:
        use(value)
    except FlowtuiError as error:
        return unclear(error)
    except Exception as error:  # noqa: BLE001
        return f"what was accepted raised {type(error).__name__}: {str(error)[:200]}"
    return ""


def unclear(error: FlowtuiError) -> str:
    """What is wrong with an error's text, or ""."""
    text = error.message
    if not text or not text.isprintable() or not error.hint.isprintable() or len(text) > LONGEST_MESSAGE:
        return f"the message is not one clear line: {text[:200]!r} ({len(text)} characters)"
    return ""


@contextmanager
def limited_memory() -> Iterator[None]:
    """A file that asks for everything gets a MemoryError in place of the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 8 * MOST_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _resident_peak(reset: bool = False) -> int:
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split(None, 1)[0])


def _hung(*_: object) -> None:
    raise HungError


def _run(trial: Trial) -> None:
    fuzz(trial, hostile_file, open_run, show_run)


PROMISES = (
    Promise(
        "fuzzed-runs",
        "fuzz",
        "A damaged or hostile run file is a run that can be shown, or one clear error; it takes less than 1 s of one "
        "processor and 256 MB",
        1_000_000,
        1_500,
        _run,
    ),
)
