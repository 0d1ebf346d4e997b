"""Attempts to make a lost line again: how long they go on, and what they say."""

from __future__ import annotations

import pytest

from flowtui.engine import reconnect
from flowtui.engine.reconnect import Attempts
from flowtui.errors import LineError

LOST = LineError("The line to gpu-1 was lost: Broken pipe.", "What has arrived is kept.")


async def test_it_says_why_and_which_attempt_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "PAUSES_S", (0.0,))
    attempts = Attempts(LOST)
    assert attempts.progress.stage == "reconnect"
    assert attempts.progress.text == "The line to gpu-1 was lost: Broken pipe. Connecting again."
    said = []
    for _ in range(23):
        await attempts.pause()
        attempts.failed(LineError("The connection to gpu-1 failed."))
        said.append(attempts.progress.text.rpartition(" for the ")[2])
    assert said[:3] == ["2nd time.", "3rd time.", "4th time."]
    assert said[9:12] == ["11th time.", "12th time.", "13th time."]
    assert said[20] == "22nd time."


async def test_it_gives_up_with_the_first_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "GIVE_UP_S", -1.0)
    with pytest.raises(LineError, match="Broken pipe") as caught:
        await Attempts(LOST).pause()
    assert caught.value.hint == LOST.hint
