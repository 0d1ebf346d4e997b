"""Executes a sweep on several workers through Ray: one actor per GPU, or several on the CPU. Torch-free.

Each actor holds an engine process of its own, the same that a sweep without workers has, so the records are the same to
the last bit. The unit of work is a group, the questions on one image. An actor that dies is started again and its group
computed again; a record that comes twice is dropped by `flowtui.engine.sweeps.running`. Who stops a sweep loses the
groups that are under way, one per worker; the journal has all others.

The Ray that is started here listens on the loopback alone and takes nobody who has not its token, which is made anew
each time; it has no dashboard and sends no statistics.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from flowtui.engine.client import EngineClient
from flowtui.engine.devices import find_devices
from flowtui.engine.results import ModelInfo
from flowtui.errors import KINDS, EngineError, FlowtuiError, UsageError

from .journal import Record
from .plan import Group, Job

RESTARTS = 3
"""How often each worker may die before the sweep gives up; a group that kills its worker would do so for ever."""

LOOK_EVERY_S = 0.2
"""Longest time until a cancelled sweep stops waiting for its workers."""

SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The name misleads: without it a local Ray listens on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}

OBJECT_STORE_BYTES = 256 << 20
"""Holds the images of the groups under way."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a worker has done.

    Attributes:
        number: From 0.
        pid: Of its actor; another one after a restart.
        items: Records it has sent.
    """

    number: int
    pid: int
    items: int


OnWorker = Callable[[WorkerState], None]


class Worker:
    """The actor: an engine with the model loaded. What goes wrong travels as plain data, so that Ray wraps no error."""

    def __init__(self, load: Mapping[str, Any], threads: str | None) -> None:
        # Ray sets this to the actor's share of the cores, and sums would come out otherwise than without Ray.
        os.environ.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
        self._load = dict(load)
        self._client: EngineClient | None = None

    async def info(self) -> dict[str, Any]:
        """The model that was found, as `{"info": ...}`."""
        try:
            _, info = await self._open()
        except FlowtuiError as error:
            return _as_reply(error)
        return {"pid": os.getpid(), "info": asdict(info)}

    async def compute(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A group's records, as `{"records": ...}`."""
        try:
            client, _ = await self._open()
            async with aclosing(client.sweep(payload)) as records:
                return {"pid": os.getpid(), "records": [record async for record in records]}
        except FlowtuiError as error:
            return _as_reply(error)

    async def _open(self) -> tuple[EngineClient, ModelInfo]:
        if self._client is None:
            self._client = await EngineClient.start(spare=False)
        return self._client, await self._client.load(**self._load)


def _as_reply(error: FlowtuiError) -> dict[str, Any]:
    return {"error": {"kind": error.kind, "message": error.message, "hint": error.hint}}


@dataclass(slots=True)
class Rays:
    """Executes on the workers of a Ray that is connected.

    Attributes:
        actors: Handles of the workers.
        on_worker: Told whenever a worker has done a group.
    """

    actors: Sequence[Any]
    on_worker: OnWorker

    async def info(self) -> ModelInfo:
        """The model, loaded by every worker.

        Raises:
            FlowtuiError: A worker cannot load it.
        """
        refs = {actor.info.remote(): i for i, actor in enumerate(self.actors)}
        found = None
        async with aclosing(_as_they_come(refs)) as replies:
            async for _, reply in replies:
                found = reply["info"]
        assert found is not None
        return ModelInfo(**found)

    async def __call__(self, job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        """See `flowtui.engine.sweeps.running.Executor`."""
        async with aclosing(self.compute(job.payload(group) for group in groups)) as records:
            async for record in records:
                yield record

    async def compute(self, payloads: Iterable[Mapping[str, Any]]) -> AsyncGenerator[Record, None]:
        """Yields the records of all payloads; each worker gets its next one when it is done with the one before."""
        left, refs = iter(payloads), {}
        counts = [0] * len(self.actors)

        def hand_out(i: int) -> None:
            payload = next(left, None)
            if payload is not None:
                refs[self.actors[i].compute.remote(payload)] = i

        for i in range(len(self.actors)):
            hand_out(i)
        async with aclosing(_as_they_come(refs)) as replies:
            async for i, reply in replies:
                hand_out(i)
                counts[i] += len(reply["records"])
                self.on_worker(WorkerState(i, reply["pid"], counts[i]))
                for record in reply["records"]:
                    yield record


async def _as_they_come(refs: dict[Any, int]) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
    """Yields (worker, its reply) until no reply is outstanding; more may be added in the meantime."""
    import ray

    while refs:
        ready, _ = await asyncio.to_thread(ray.wait, list(refs), num_returns=1, timeout=LOOK_EVERY_S)
        for ref in ready:
            i = refs.pop(ref)
            try:
                reply = await asyncio.to_thread(ray.get, ref)
            except ray.exceptions.RayTaskError as error:
                raise EngineError(f"Worker {i} failed: {type(error.cause).__name__}: {error.cause}.") from error
            except ray.exceptions.RayError as error:
                raise EngineError(
                    f"Worker {i} went away, after {RESTARTS} restarts ({type(error).__name__}).",
                    "Too little memory for so many workers? Go on with fewer.",
                ) from None
            if "error" in reply:
                what = reply["error"]
                raise KINDS.get(what["kind"], EngineError)(what["message"], what["hint"])
            yield i, reply


@asynccontextmanager
async def open_workers(
    count: int, load: Mapping[str, Any], on_worker: OnWorker = lambda state: None
) -> AsyncIterator[Rays]:
    """Starts a Ray on this machine with workers on it; both end with the context.

    Args:
        count: How many workers.
        load: Arguments of `EngineClient.load`.
        on_worker: Told whenever a worker has done a group.

    Raises:
        UsageError: Ray is not installed, or there are fewer GPUs than workers.
        EngineError: Ray does not start.
    """
    gpus = 0 if load.get("device") == "cpu" else sum(device.name != "cpu" for device in find_devices())
    if gpus and count > gpus:
        raise UsageError(
            f"{count} workers need {count} GPUs; there are {gpus}.", f"Use --workers {gpus}, or --device cpu."
        )
    with _local_ray(count):
        actors = start_actors(count, load, 1 if gpus else 0)
        try:
            yield Rays(actors, on_worker)
        finally:
            stop_actors(actors)


def start_actors(count: int, load: Mapping[str, Any], gpus: int) -> list[Any]:
    """Starts workers in the Ray that is connected, each with so many GPUs of its own, which it knows as "cuda:0"."""
    import ray

    remote = ray.remote(Worker).options(
        num_cpus=1, num_gpus=gpus, max_restarts=RESTARTS, max_task_retries=RESTARTS, max_concurrency=1
    )
    threads = os.environ.get("OMP_NUM_THREADS")
    return [remote.remote(dict(load), threads) for _ in range(count)]


def stop_actors(actors: Sequence[Any]) -> None:
    """Ends workers at once, and their engines with them."""
    import ray

    for actor in actors:
        with suppress(ray.exceptions.RayError):
            ray.kill(actor)


def need_ray() -> None:
    """Says how to get Ray, where it is not.

    Raises:
        UsageError: It is not installed.
    """
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise UsageError("Workers need Ray, which is not installed.", "Install it with: pip install 'flowtui[ray]'")


@contextmanager
def _local_ray(cpus: int) -> Iterator[None]:
    """A Ray of our own, in a folder that no other user can read."""
    need_ray()
    settings = {**SETTINGS, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in settings}
    # Read when Ray is imported, and inherited by all that it starts.
    os.environ.update(settings)
    # Sockets lie in it, and their names must stay short.
    folder = tempfile.mkdtemp(prefix="flowtui-", dir="/tmp" if os.path.isdir("/tmp") else None)  # noqa: S108, PTH112
    try:
        import ray

        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=folder,
            )
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            raise EngineError(f"Ray does not start: {str(error).splitlines()[0]}") from error
        try:
            yield
        finally:
            ray.shutdown()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)
