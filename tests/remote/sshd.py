"""A real OpenSSH server on this machine, with keys and configuration of its own, and a line to it that can fail."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

PIECE = 4096


def sshd_program() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def missing() -> str:
    """Why there can be no server here, or ""."""
    needed = {"sshd": sshd_program(), "ssh": shutil.which("ssh"), "ssh-keygen": shutil.which("ssh-keygen")}
    lacking = [name for name, found in needed.items() if found is None]
    return f"not installed here: {', '.join(lacking)}" if lacking else ""


class Line:
    """A proxy in front of a port. All connections share its state.

    Attributes:
        port: Where it listens.
        bytes_per_s: In each direction; None for as fast as it goes.
    """

    def __init__(self, target: int) -> None:
        self.bytes_per_s: float | None = None
        self._target = target
        self._moving = threading.Event()
        self._moving.set()
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Nothing gets through any more, not even an end; nobody is told."""
        self._moving.clear()

    def thaw(self) -> None:
        """What was frozen is gone; new connections get through."""
        self.cut()
        self._moving.set()

    def cut(self) -> None:
        """Ends every connection."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            with _ignored():
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._server.close()
        self.cut()
        self._moving.set()

    def _accept(self) -> None:
        with _ignored():
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with _ignored():
            while data := source.recv(PIECE):
                if self.bytes_per_s is not None:
                    time.sleep(len(data) / self.bytes_per_s)
                self._moving.wait()
                sink.sendall(data)
            self._moving.wait()
            sink.shutdown(socket.SHUT_WR)


class Sshd:
    """The server. Its own folder holds keys, configurations and the far cache.

    Args:
        folder: For all of that.

    Attributes:
        line: What clients go through.
        cache: The cache folder of what runs there.
        ssh: What FLOWTUI_SSH has to be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "far-cache"
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._process, port = self._start()
        self.line = Line(port)
        client = folder / "config"
        client.write_text(
            f"Host far\n HostName 127.0.0.1\n Port {self.line.port}\n User {getpass.getuser()}\n"
            f" IdentityFile {folder / 'user'}\n IdentitiesOnly yes\n StrictHostKeyChecking no\n"
            f" UserKnownHostsFile {folder / 'known'}\n"
        )
        self.ssh = f"ssh -F {client}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.line.close()
        self._process.terminate()
        self._process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        """The server on a port that was free a moment ago; where somebody else took it meanwhile, on another one."""
        for _ in range(5):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = int(free.getsockname()[1])
            config = self.folder / "sshd_config"
            config.write_text(self._config(port, far_environment(self.folder, self.cache)))
            with (self.folder / "sshd.log").open("wb") as log:
                command = [str(sshd_program()), "-D", "-e", "-f", str(config)]
                server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
            end = time.monotonic() + 60
            while server.poll() is None and time.monotonic() < end:
                with socket.socket() as there:
                    if there.connect_ex(("127.0.0.1", port)) == 0:
                        return server, port
                time.sleep(0.02)
            server.kill()
            server.wait()
        raise AssertionError((self.folder / "sshd.log").read_text())

    def _config(self, port: int, environment: Mapping[str, str]) -> str:
        setenv = " ".join(f'"{name}={value}"' for name, value in environment.items())
        return (
            f"Port {port}\nListenAddress 127.0.0.1\nPidFile none\nSetEnv {setenv}\n"
            f"HostKey {self.folder / 'host'}\nAuthorizedKeysFile {self.folder / 'user.pub'}\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            "MaxStartups 100\n"
        )


def far_environment(folder: Path, cache: Path) -> dict[str, str]:
    """What sets the far side apart from the near one on the same machine."""
    return {
        "FLOWTUI_CACHE_DIR": str(cache),
        "XDG_STATE_HOME": str(folder / "far-state"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


class _ignored:  # noqa: N801
    """Errors of sockets that somebody closed."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, (OSError, ValueError))
