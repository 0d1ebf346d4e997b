"""Sweeps as Ray jobs: what a head must be, over a real socket; what a job says, through a client that replays it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgpack
import pytest

from flowtui.engine.sweeps import rayjobs
from flowtui.engine.sweeps.rayjobs import MARK, Cluster, check_head, find_url
from flowtui.errors import EngineError, ModelError, UsageError

from .jobs import INFO, fake_record, small_job


@contextmanager
def head(status: int) -> Iterator[str]:
    """What answers every request with one status."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_head_that_takes_anybody_is_refused() -> None:
    with head(200) as url, pytest.raises(UsageError, match="takes anybody") as refused:
        check_head(url)
    assert "RAY_AUTH_MODE=token" in refused.value.hint


@pytest.mark.parametrize("status", [401, 403])
def test_a_head_that_asks_for_a_token_is_taken(status: int) -> None:
    with head(status) as url:
        check_head(url)


def test_what_is_no_head_is_said() -> None:
    with head(404) as url, pytest.raises(EngineError, match="no Ray head: HTTP 404"):
        check_head(url)
    with pytest.raises(EngineError, match="No Ray head answers"):
        check_head(url)


def test_addresses_are_those_of_a_dashboard() -> None:
    assert find_url("head:8265") == find_url("http://head:8265/") == "http://head:8265"
    for address in ("ray://head:10001", "", "http://", "file:///x", "head/path"):
        with pytest.raises(UsageError, match="dashboard"):
            find_url(address)


@dataclass
class Client:
    """Ray's client: each look at the log shows some bytes more; every other look fails."""

    logs: list[str]
    ends_as: str = "SUCCEEDED"
    works: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    shown: int = 0
    looks: int = 0

    def submit_job(self, *, entrypoint: str, runtime_env: dict[str, Any]) -> str:
        self.works.append(msgpack.unpackb(Path(runtime_env["working_dir"], rayjobs.WORK).read_bytes()))
        self.shown = 0
        return f"job-{len(self.works)}"

    def get_job_status(self, job: str) -> Any:
        self.looks += 1
        if self.looks % 2:
            raise RuntimeError("the line is lost")
        self.shown += 700
        over = self.shown >= len(self.log)

        class Status(str):
            def is_terminal(self) -> bool:
                return over

        return Status(self.ends_as if over else "RUNNING")

    @property
    def log(self) -> str:
        return self.logs[len(self.works) - 1]

    def get_job_logs(self, job: str) -> str:
        return self.log[: self.shown]

    def stop_job(self, job: str) -> None:
        self.stopped.append(job)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rayjobs, "LOOK_EVERY_S", 0.0)


def said(*lines: tuple[str, Any]) -> str:
    return "2026 INFO something of Ray's\n" + "".join(f"{MARK}{json.dumps(line)}\n" for line in lines)


async def test_records_come_back_once_however_the_log_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    job = small_job(9)
    groups = list(job.groups({}))
    monkeypatch.setattr(rayjobs, "JOB_BYTES", 1)  # a job for each image
    ends = [[q.index for q in group.questions] for group in groups]
    logs = [said(*(("record", fake_record(job, i)) for i in items), ("worker", {"number": 0, "pid": 5, "items": 2}))
            for items in ends]  # fmt: skip
    states: list[Any] = []
    client = Client(logs)
    cluster = Cluster(client, {"model": "demo"}, 2, states.append)
    records = [record async for record in cluster(job, groups)]
    assert records == [fake_record(job, i) for items in ends for i in items]
    assert [len(work["payloads"]) for work in client.works] == [1] * len(groups)
    assert client.works[0]["payloads"][0]["image"] == job.payload(groups[0])["image"]
    assert len(states) == len(groups)
    assert not client.stopped


async def test_the_model_is_what_the_cluster_found() -> None:
    client = Client([said(("info", asdict(INFO)))])
    assert await Cluster(client, {"model": "demo"}, None, print).info() == INFO


async def test_an_error_over_there_is_the_same_error_here() -> None:
    line = ("error", {"kind": "ModelError", "message": "No such model.", "hint": "Look."})
    with pytest.raises(ModelError, match="No such model"):
        await Cluster(Client([said(line)], "FAILED"), {}, None, print).info()


async def test_a_job_that_fails_says_its_last_words() -> None:
    client = Client(["No module named flowtui\n"], "FAILED")
    with pytest.raises(EngineError, match="ended as FAILED: No module named flowtui"):
        await Cluster(client, {}, None, print).info()


async def test_who_leaves_stops_the_job() -> None:
    job = small_job(9)
    lines = [("record", fake_record(job, i)) for i in range(9)]
    client = Client([said(*lines)])
    records = Cluster(client, {}, None, print)(job, list(job.groups({})))
    await anext(records)
    await records.aclose()
    assert client.stopped == ["job-1"]
