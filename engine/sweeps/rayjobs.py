"""Executes a sweep on a running Ray cluster, as Ray jobs: over HTTP, never `ray://`, which no lost line survives.

flowtui must be installed on the cluster, and the model within its reach; questions and images go with the job. Its
driver, `python -m flowtui.engine.sweeps.rayjobs`, starts the workers there and prints the records, which are read from
the job's log: nothing comes back as code. A line that is lost for a while loses nothing, for the log is read again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgpack

from flowtui.engine.failures import first_line
from flowtui.engine.results import ModelInfo
from flowtui.errors import KINDS, EngineError, FlowtuiError, UsageError

from .journal import Record
from .plan import Group, Job
from .rays import OnWorker, Rays, WorkerState, need_ray, start_actors, stop_actors

MARK = "flowtui: "
WORK = "work.msgpack"
JOB_BYTES = 64 << 20
"""Payloads of one job; Ray keeps what goes with a job in the memory of its head."""

LOOK_EVERY_S = 1.0
SILENCE_S = 60.0
"""How long the head may not answer until the sweep gives up."""


@dataclass(slots=True)
class Cluster:
    """Executes on a cluster.

    Attributes:
        client: Ray's client of the Jobs API.
        load: Arguments of `EngineClient.load`.
        workers: How many workers; None: one per GPU of the cluster, or one.
        on_worker: Told whenever a worker has done a group.
    """

    client: Any
    load: Mapping[str, Any]
    workers: int | None
    on_worker: OnWorker

    async def info(self) -> ModelInfo:
        """The model, loaded on the cluster once.

        Raises:
            FlowtuiError: It cannot be loaded, or the job fails.
        """
        async with aclosing(self._run([])) as said:
            async for name, value in said:
                if name == "info":
                    return ModelInfo(**value)
        raise EngineError("The Ray job ended without saying what model it found.")

    async def __call__(self, job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        """See `flowtui.engine.sweeps.running.Executor`."""
        for payloads in _slices(job.payload(group) for group in groups):
            async with aclosing(self._run(payloads)) as said:
                async for name, value in said:
                    if name == "record":
                        yield value
                    elif name == "worker":
                        self.on_worker(WorkerState(**value))

    async def _run(self, payloads: Sequence[Mapping[str, Any]]) -> AsyncGenerator[tuple[str, Any], None]:
        """Submits one job and yields what it says; leaving early stops it."""
        with tempfile.TemporaryDirectory(prefix="flowtui-") as folder:
            work = {"load": dict(self.load), "workers": self.workers, "payloads": list(payloads)}
            Path(folder, WORK).write_bytes(msgpack.packb(work))
            job = await self._ask(
                "submit_job",
                entrypoint="python -m flowtui.engine.sweeps.rayjobs",
                runtime_env={"working_dir": folder},
            )
        seen, over = 0, False
        try:
            while not over:
                # In this order: what was said before the end is in the log after it.
                status = await self._ask("get_job_status", job)
                over = status.is_terminal()
                lines = (await self._ask("get_job_logs", job)).splitlines(keepends=True)
                for line in lines[seen:]:
                    if not line.endswith("\n"):
                        break
                    seen += 1
                    if line.startswith(MARK):
                        name, value = json.loads(line.removeprefix(MARK))
                        if name == "error":
                            raise KINDS.get(value["kind"], EngineError)(value["message"], value["hint"])
                        yield name, value
                if not over:
                    await asyncio.sleep(LOOK_EVERY_S)
            if str(status) != "SUCCEEDED":
                last = lines[-1].strip() if lines else "it said nothing"
                raise EngineError(f"The Ray job {job} ended as {status}: {last}")
        finally:
            if not over:
                with suppress(Exception):
                    self.client.stop_job(job)

    async def _ask(self, what: str, *arguments: Any, **options: Any) -> Any:
        """Asks the head, again for a while where it does not answer; a job is submitted once."""
        end = time.monotonic() + SILENCE_S
        while True:
            try:
                return await asyncio.to_thread(getattr(self.client, what), *arguments, **options)
            except (RuntimeError, OSError) as error:
                if what == "submit_job" or time.monotonic() > end:
                    raise EngineError(f"The Ray head refused: {first_line(error)}") from error
            await asyncio.sleep(LOOK_EVERY_S)


def open_cluster(
    address: str, load: Mapping[str, Any], workers: int | None = None, on_worker: OnWorker = lambda state: None
) -> Cluster:
    """Connects to a cluster's head.

    Args:
        address: Of its dashboard, `http://HOST:8265` or `HOST:8265`.
        load, workers, on_worker: See `Cluster`.

    Raises:
        UsageError: Ray is not installed, the address is no such one, or the head takes anybody.
        EngineError: The head does not answer, or refuses our token.
    """
    need_ray()
    url = find_url(address)
    check_head(url)
    os.environ["RAY_AUTH_MODE"] = "token"
    # Both would be taken in place of what the user asks for here.
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        os.environ.pop(name, None)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        client = JobSubmissionClient(url)
        client.list_jobs()
    except (RuntimeError, OSError, AuthenticationError) as error:
        raise EngineError(
            f"The Ray head at {url} does not take our token: {first_line(error).split('. ')[0].rstrip('.')}.",
            "Set RAY_AUTH_TOKEN to the cluster's, or put it into ~/.ray/auth_token.",
        ) from error
    return Cluster(client, load, workers, on_worker)


def find_url(address: str) -> str:
    """The URL of a head's dashboard.

    Raises:
        UsageError: The address is of another kind.
    """
    kind, mark, rest = address.rpartition("://")
    if (mark and kind not in ("http", "https")) or not rest or "/" in rest.rstrip("/"):
        raise UsageError(
            f"--ray takes the address of a cluster's dashboard, not {address!r}.",
            "Use http://HOST:8265; a sweep is submitted as a Ray job, and ray:// addresses are not used.",
        )
    return f"{kind or 'http'}://{rest.rstrip('/')}"


def check_head(url: str) -> None:
    """Asks without a token, to see whether the head takes anybody.

    Raises:
        UsageError: It does: whoever reaches it could run anything there.
        EngineError: It does not answer.
    """
    try:
        with urllib.request.urlopen(f"{url}/api/jobs/", timeout=10):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return
        raise EngineError(f"What answers at {url} is no Ray head: HTTP {error.code}.") from error
    except OSError as error:
        raise EngineError(f"No Ray head answers at {url}: {error}.", "Is it the dashboard's port, 8265?") from error
    raise UsageError(
        f"The Ray head at {url} takes anybody: it asks for no token.",
        "Start it with RAY_AUTH_MODE=token (docs/scale.md).",
    )


def _slices(payloads: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Payloads of a job each."""
    made: list[Mapping[str, Any]] = []
    size = 0
    for payload in payloads:
        made.append(payload)
        size += len(payload["image"] or b"")
        if size >= JOB_BYTES:
            yield made
            made, size = [], 0
    if made:
        yield made


def _say(name: str, value: Any) -> None:
    sys.stdout.write(f"{MARK}{json.dumps([name, value])}\n")
    sys.stdout.flush()


async def _work(work: Mapping[str, Any]) -> None:
    """What the job does on the cluster."""
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = int(there.get("GPU", 0)) if work["load"].get("device") != "cpu" else 0
    wanted = work["workers"] if work["payloads"] else 1
    actors = start_actors(wanted or gpus or 1, work["load"], 1 if gpus else 0)
    try:
        rays = Rays(actors, lambda state: _say("worker", asdict(state)))
        if not work["payloads"]:
            _say("info", asdict(await rays.info()))
        async with aclosing(rays.compute(work["payloads"])) as records:
            async for record in records:
                _say("record", record)
    finally:
        stop_actors(actors)


def main() -> None:
    """The job's driver: reads the work that came with it."""
    import ray

    ray.init(address="auto", log_to_driver=False)
    try:
        asyncio.run(_work(msgpack.unpackb(Path(WORK).read_bytes())))
    except FlowtuiError as error:
        _say("error", {"kind": error.kind, "message": error.message, "hint": error.hint})
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
