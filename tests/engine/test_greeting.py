"""Who understands whom: versions that differ are named, whatever else a greeting holds."""

from __future__ import annotations

from typing import Any

import pytest

from flowtui import __version__
from flowtui.cache.keys import SCHEMA
from flowtui.engine.greeting import read_hello
from flowtui.engine.protocol import PROTOCOL
from flowtui.errors import EngineError, ProtocolError

CPU = {"name": "cpu", "model": "", "total_bytes": 2, "free_bytes": 1}
GOOD: dict[str, Any] = {
    "type": "hello",
    "protocol": PROTOCOL,
    "schema": SCHEMA,
    "flowtui": "9.9",
    "python": "3.12.1",
    "torch": "2.9",
    "transformers": "5.2",
    "devices": [CPU],
}


def test_only_protocol_and_meaning_have_to_agree() -> None:
    hello = read_hello(GOOD)
    assert (hello.flowtui, hello.python, hello.torch, hello.devices[0].name) == ("9.9", "3.12.1", "2.9", "cpu")


@pytest.mark.parametrize(
    "other",
    [{"schema": SCHEMA + 1}, {"protocol": PROTOCOL + 1}, {"protocol": 2, "schema": None, "devices": None}],
)
def test_another_version_is_named_with_both_sides(other: dict[str, Any]) -> None:
    with pytest.raises(EngineError) as caught:
        read_hello({**GOOD, **other}, "gpu-1")
    for part in ("on gpu-1", "flowtui 9.9", f"protocol {other.get('protocol', PROTOCOL)}", f"flowtui {__version__}"):
        assert part in caught.value.message
    assert "both sides" in caught.value.hint


@pytest.mark.parametrize("version", ["x" * 1000, 3, None, b"1", ["1"], {"a": 1}])
def test_a_version_that_is_anything_makes_a_short_message(version: object) -> None:
    with pytest.raises(EngineError) as caught:
        read_hello({"type": "hello", "protocol": 99, "flowtui": version})
    assert len(caught.value.message) < 150


@pytest.mark.parametrize("device", [{}, {**CPU, "colour": 1}, {"name": "cpu"}])
def test_a_device_that_is_none_is_an_error(device: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_hello({**GOOD, "devices": [device]})
