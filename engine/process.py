"""The engine process: answers requests on stdin and stdout until the client is gone.

One thread computes, one reads: cancel, ping and the end of stdin are seen during a computation too. Torch is imported
by the first request that needs it, so the greeting leaves at once.
"""

from __future__ import annotations

import ctypes
import gc
import io
import logging
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any, BinaryIO, NoReturn

from flowtui import __version__
from flowtui.cache.keys import SCHEMA
from flowtui.errors import CancelledError, FlowtuiError, ProtocolError, UsageError

from .backend import Backend, TorchBackend
from .devices import find_devices
from .examination import examination_to_plain
from .failures import explain, first_line, lost_device, open_log
from .farcache import CachingBackend
from .fit import fit_to_plain
from .patience import PATIENCE_S, PatientReader
from .protocol import PROTOCOL, Message, encode, read_frame, spec_from_plain
from .results import Answer, LayerResult, answer_from_plain, prepared_to_plain
from .sequence import as_whole
from .spec import Parameters, parameters_from_plain
from .transport import EXIT_DEVICE_LOST, EXIT_SILENCE

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 0.05

_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class _Held:
    """What a request made, kept for the next: a repeated load or prepare costs nothing."""

    request: Message
    made: Any


class _Engine:
    def __init__(self, backend: Backend, requests: PatientReader, replies: BinaryIO) -> None:
        self._backend = backend
        self._line = requests
        self._requests = io.BufferedReader(requests)
        self._replies = replies
        self._write_lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._greeted = threading.Event()
        self._cancelled: set[int] = set()
        self._loaded: _Held | None = None
        self._prepared: _Held | None = None

    def run(self) -> NoReturn:
        """Greets, then works until the client is gone; ends the process itself."""
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        self._send(
            "hello",
            protocol=PROTOCOL,
            schema=SCHEMA,
            flowtui=__version__,
            python=python_version(),
            torch=_version("torch"),
            transformers=_version("transformers"),
            devices=[asdict(device) for device in find_devices()],
        )
        self._greeted.set()
        while True:
            self._handle(self._jobs.get())

    def _listen(self) -> None:
        """Reads requests; whatever ends the stream ends the process, computing or not."""
        code = 0
        try:
            while (message := read_frame(self._requests, "client")) is not None:
                match message["type"]:
                    case "hello" if message["protocol"] != PROTOCOL:
                        # Our own greeting tells the client more than the error would.
                        self._greeted.wait()
                        raise ProtocolError(
                            f"The client speaks protocol {message['protocol']}, this engine {PROTOCOL}.",
                            "Install the same flowtui on both sides.",
                        )
                    case "hello":
                        self._greet(far=message["far"])
                    case "beat":
                        pass
                    case "ping":
                        self._send("pong", id=message["id"])
                    case "cancel":
                        self._cancelled.add(message["id"])
                    case "bye":
                        break
                    case _:
                        self._jobs.put(message)
            if self._line.lost_patience:
                code = EXIT_SILENCE
        except ProtocolError as error:
            code = EXIT_SILENCE if self._line.lost_patience else 1
            self._send_error(None, error)
        except Exception:
            code = 1
            log.exception("reading requests failed")
        finally:
            # No clean-up: a kernel that runs on would hold the process, and nothing here outlives it.
            os._exit(code)

    def _greet(self, *, far: bool) -> None:
        """A client on another machine must go on speaking, and cannot see this machine's cache."""
        self._line.patience_s = PATIENCE_S if far else None
        if far:
            self._backend = CachingBackend(self._backend)

    def _handle(self, message: Message) -> None:
        request = message["id"]
        try:
            if request in self._cancelled:
                raise CancelledError("Cancelled.")
            match message["type"]:
                case "examine":
                    self._send("examined", id=request, found=examination_to_plain(self._backend.examine()))
                case "fit":
                    self._fit(message)
                case "load":
                    self._load(message)
                case "prepare":
                    self._prepare(message)
                case "analyse":
                    self._analyse(message)
                case "sweep":
                    self._sweep(message)
        except FlowtuiError as error:
            self._send_error(request, error)
        except Exception as error:
            log.exception("%s failed", message["type"])
            if lost_device(error):
                print(f"{type(error).__name__}: {first_line(error)}", file=sys.stderr, flush=True)
                os._exit(EXIT_DEVICE_LOST)
            self._send_error(request, explain(error))
        self._cancelled.discard(request)

    def _fit(self, message: Message) -> None:
        start = time.perf_counter()
        load = {k: v for k, v in message.items() if k not in ("id", "type", "spec", "analyses")}
        wanted = [_wanted(item) for item in message["analyses"]]
        held = None if self._loaded is None else self._loaded.made
        is_held = self._loaded is not None and self._loaded.request == load
        options = {k: v for k, v in load.items() if k != "model"}
        self._progress(message["id"], "fit")
        found = self._backend.fit(load["model"], options, spec_from_plain(message["spec"]), wanted, held, is_held)
        plain = None if found is None else fit_to_plain(found)
        self._send("fitted", id=message["id"], fit=plain, seconds=time.perf_counter() - start)

    def _load(self, message: Message) -> None:
        start = time.perf_counter()
        wanted = {k: v for k, v in message.items() if k not in ("id", "type")}
        if self._loaded is None or self._loaded.request != wanted:
            self._prepared = self._loaded = None
            gc.collect()  # the old model's memory is free before the new one needs it
            self._progress(message["id"], "load")
            options = {k: v for k, v in wanted.items() if k != "model"}
            self._loaded = _Held(wanted, self._backend.load(wanted["model"], **options))
        info = self._loaded.made.info
        self._send("loaded", id=message["id"], model=asdict(info), seconds=time.perf_counter() - start)

    def _prepare(self, message: Message) -> None:
        start = time.perf_counter()
        if self._loaded is None:
            raise ProtocolError("The client asked to prepare a run before it had a model loaded.")
        wanted = {"spec": message["spec"], "answer": message["answer"]}
        if self._prepared is None or self._prepared.request != wanted:
            self._prepared = None
            spec = spec_from_plain(message["spec"])
            answer = None if message["answer"] is None else _pinned(message["answer"])
            self._progress(message["id"], "prepare")
            self._prepared = _Held(wanted, self._backend.prepare(self._loaded.made, spec, answer))
        prepared = prepared_to_plain(self._prepared.made.prepared)
        self._send("prepared", id=message["id"], prepared=prepared, seconds=time.perf_counter() - start)

    def _analyse(self, message: Message) -> None:
        if self._loaded is None or self._prepared is None:
            raise ProtocolError("The client asked for an analysis before a run was prepared.")
        request, analysis, layers = message["id"], message["analysis"], message["layers"]
        parameters = parameters_from_plain(analysis, message["parameters"])
        limit = self._loaded.made.info.layers + (analysis == "truncation")
        if not all(0 <= layer < limit for layer in layers):
            raise UsageError(f"The analysis {analysis} of this model has layers 0 to {limit - 1}.")
        expected = self._backend.seconds(self._loaded.made, self._prepared.made, parameters, layers)
        start = last_layer = last_progress = time.perf_counter()
        said_layer: int | None = None
        self._progress(request, analysis, fraction=0.0, seconds_left=expected)

        def on_layer(result: LayerResult) -> None:
            nonlocal last_layer
            now = time.perf_counter()
            self._send("layer", id=request, layer=result.layer, entry=result.to_bytes(), seconds=now - last_layer)
            last_layer = now

        def on_progress(layer: int, fraction: float) -> None:
            nonlocal last_progress, said_layer
            now = time.perf_counter()
            # A layer is always said: the next one may take long, and until then this is what the screen shows.
            if layer == said_layer and now - last_progress < PROGRESS_EVERY_S and fraction < 1:
                return
            last_progress, said_layer = now, layer
            left = (now - start) * (1 - fraction) / fraction if fraction > 0 else None
            self._progress(request, analysis, layer, min(1.0, max(0.0, float(fraction))), left)

        self._backend.analyse(
            self._loaded.made,
            self._prepared.made,
            parameters,
            layers,
            on_layer,
            on_progress,
            lambda: request in self._cancelled,
        )
        self._send("done", id=request, seconds=time.perf_counter() - start)

    def _sweep(self, message: Message) -> None:
        if self._loaded is None:
            raise ProtocolError("The client asked for a part of a sweep before it had a model loaded.")
        request, start = message["id"], time.perf_counter()
        self._backend.sweep(
            self._loaded.made,
            {name: message[name] for name in ("model", "image", "options", "questions")},
            lambda record: self._send("record", id=request, record=record),
            lambda fraction: None,
            lambda: request in self._cancelled,
        )
        self._send("done", id=request, seconds=time.perf_counter() - start)

    def _progress(
        self,
        request: int,
        stage: str,
        layer: int | None = None,
        fraction: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        self._send("progress", id=request, stage=stage, layer=layer, fraction=fraction, seconds_left=seconds_left)

    def _send_error(self, request: int | None, error: FlowtuiError) -> None:
        self._send("error", id=request, kind=error.kind, message=error.message, hint=error.hint)

    def _send(self, kind: str, /, **values: Any) -> None:
        frame = encode("engine", kind, **values)
        try:
            with self._write_lock:
                self._replies.write(frame)
                self._replies.flush()
        except OSError:
            os._exit(0)  # nobody reads any more


def serve(backend: Backend | None = None) -> NoReturn:
    """Runs an engine on this process' stdin and stdout until the client is gone."""
    # The frames get file descriptors of their own: a library that prints or asks must not reach the stream.
    requests = PatientReader(os.dup(0), PATIENCE_S)
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sys.stdin = io.StringIO()
    sys.stdout = sys.stderr
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _die_with_parent()
    open_log()
    _Engine(backend or TorchBackend(), requests, replies).run()


def _pinned(plain: dict[str, Any]) -> Answer:
    try:
        return answer_from_plain(plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"The client sent an answer that is malformed: {error}.") from error


def _wanted(plain: dict[str, Any]) -> tuple[Parameters, tuple[int, ...] | None]:
    try:
        layers = plain["layers"]
        parameters = parameters_from_plain(plain["analysis"], plain["parameters"])
        return parameters, None if layers is None else tuple(as_whole(layer) for layer in layers)
    except (KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"The client asked for an analysis in a way that is malformed: {error}.") from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies; elsewhere the end of stdin does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    serve()
