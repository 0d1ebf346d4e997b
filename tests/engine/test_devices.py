"""Devices: nvidia-smi's table as CUDA_VISIBLE_DEVICES lets it be seen, and the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowtui.engine.devices import find_devices, parse_gpus

TABLE = """0, GPU-aaaa-1, NVIDIA H100, 81559, 80000
1, GPU-bbbb-2, NVIDIA H100, 81559, 12
2, GPU-bbcc-3, "NVIDIA, odd name", 1000, 999
"""


@pytest.mark.parametrize(
    ("visible", "free_mib"),
    [
        (None, [80000, 12, 999]),
        ("", []),
        ("-1", []),
        ("2,0", [999, 80000]),
        ("GPU-bbcc", [999]),
        ("GPU-bb", []),  # ambiguous
        ("1,7,0", [12]),
    ],
)
def test_gpus_are_those_that_cuda_shows(visible: str | None, free_mib: list[int]) -> None:
    devices = parse_gpus(TABLE, visible)
    assert [d.free_bytes for d in devices] == [mib * 1024 * 1024 for mib in free_mib]
    assert [d.name for d in devices] == [f"cuda:{i}" for i in range(len(free_mib))]


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="columns"):
        parse_gpus("No devices were found", None)


def test_the_cpu_is_the_last_device_and_agrees_with_the_kernel() -> None:
    cpu = find_devices()[-1]
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert cpu.name == "cpu"
    assert cpu.total_bytes == int(meminfo["MemTotal"].split()[0]) * 1024
    assert 0 < cpu.free_bytes <= cpu.total_bytes
