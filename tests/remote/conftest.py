"""A far machine that is this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.sshd import Sshd, missing


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path / "sshd"
    folder.mkdir()
    with Sshd(folder) as server:
        monkeypatch.setenv("FLOWTUI_SSH", server.ssh)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        yield server
