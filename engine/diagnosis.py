"""Why an engine on another machine works or not: one step after the other, up to the first that fails. Torch-free."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from flowtui import __version__
from flowtui.errors import EngineError, FlowtuiError

from .client import EngineClient
from .examination import Examination
from .far import FarPlace, read_place, ssh_command
from .greeting import Hello
from .transport import Target, describe_end, plain_line

STEPS = ("ssh", "python", "flowtui", "torch", "GPU", "cache")
OLDEST_PYTHON = (3, 11)
ANSWER_S = 30.0
"""How long another machine may take for a word."""

_ASK_PYTHON = ("python3", "-c", 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
_SILENT = 'Its shell must print nothing for commands; in bash, begin ~/.bashrc with: [ -z "$PS1" ] && return'


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found.

    Attributes:
        step: One of `STEPS`.
        ok: Whether it is as it should be.
        found: What there is, or what is wrong.
        advice: What to do about it, or "".
    """

    step: str
    ok: bool
    found: str
    advice: str = ""


async def diagnose(engine: str) -> AsyncGenerator[Finding, None]:
    """Goes through the steps; the last finding is the first that is not ok, or the last step's.

    Args:
        engine: `ssh://[user@]host[:port][?command=PROGRAM]`.

    Raises:
        UsageError: It is no such address.
    """
    place = read_place(engine)
    found = await _try_ssh(place)
    yield found
    if not found.ok:
        return
    try:
        client = await EngineClient.start(engine, spare=False)
    except FlowtuiError as error:
        for finding in await _why_no_engine(place, error):
            yield finding
        return
    async with client:
        yield Finding("python", True, client.hello.python)
        here = "" if client.hello.flowtui == __version__ else f" (here {__version__})"
        yield Finding("flowtui", True, f"{client.hello.flowtui}{here}")
        try:
            examination = await client.examine()
        except FlowtuiError as error:
            yield Finding("torch", False, error.message, error.hint)
            return
        for look in (_torch, _gpu, _cache):
            found = look(client.hello, examination)
            yield found
            if not found.ok:
                return


async def _try_ssh(place: FarPlace) -> Finding:
    start = time.monotonic()
    try:
        said = await _run(place, "true")
    except FlowtuiError as error:
        return Finding("ssh", False, error.message, error.hint)
    if said:
        return Finding("ssh", False, f"A start-up file on {place.host} prints {said!r}.", _SILENT)
    return Finding("ssh", True, f"{place.host} lets us in, in {time.monotonic() - start:.1f} s")


async def _why_no_engine(place: FarPlace, error: FlowtuiError) -> list[Finding]:
    """Whether it is Python that is missing, or flowtui."""
    try:
        version = await _run(place, *_ASK_PYTHON)
    except FlowtuiError:
        advice = "Install Python 3.11 or later there, and flowtui with it."
        return [Finding("python", False, f"there is no python3 on {place.host}", advice)]
    if tuple(map(int, version.split(".")[:2])) < OLDEST_PYTHON:
        advice = f"flowtui needs {'.'.join(map(str, OLDEST_PYTHON))}. Install it there, and flowtui with it."
        return [Finding("python", False, version, advice)]
    return [Finding("python", True, version), Finding("flowtui", False, error.message, error.hint)]


def _torch(hello: Hello, found: Examination) -> Finding:
    if found.torch_error:
        advice = "Install it again in flowtui's environment there: pip install --force-reinstall torch transformers"
        return Finding("torch", False, plain_line(found.torch_error), advice)
    versions = f"{plain_line(hello.torch)}, transformers {plain_line(hello.transformers)}"
    return Finding("torch", True, f"{versions}, built for {plain_line(found.built_for)}")


def _gpu(hello: Hello, found: Examination) -> Finding:
    if found.gpu_error:
        advice = "Install a torch that fits the driver there: https://pytorch.org/get-started/locally"
        return Finding("GPU", False, plain_line(found.gpu_error), advice)
    if not found.gpus:
        return Finding("GPU", True, "none: it computes on the CPU")
    free = {device.model: f", {device.free_bytes / (1 << 30):.1f} GiB free" for device in hello.devices}
    return Finding("GPU", True, "; ".join(plain_line(name) + free.get(name, "") for name in found.gpus))


def _cache(hello: Hello, found: Examination) -> Finding:
    if found.cache_error:
        return Finding("cache", False, plain_line(found.cache_error), "Without it every layer is computed again.")
    held = f"{found.cache_layers} layers, {found.cache_bytes / (1 << 20):.1f} MiB"
    return Finding("cache", True, f"{plain_line(found.cache_folder)}: {held} ({plain_line(found.cache_reason)})")


async def _run(place: FarPlace, *words: str) -> str:
    """What a command prints there, in one line.

    Raises:
        EngineError: It fails, or takes too long.
    """
    command = ssh_command(place, words)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), ANSWER_S)
    except TimeoutError:
        raise EngineError(f"{place.host} did not answer within {ANSWER_S:.0f} s.", "Try it by hand.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = err.decode(errors="replace").splitlines()
        raise describe_end(Target(command, place.host), process.returncode, lines, greeted=False)
    return plain_line(out.decode(errors="replace"))
