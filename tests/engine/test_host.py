from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flowtui.engine.host import free_host_bytes, free_in_cgroups

MOST = 1 << 50


def group(folder: Path, limit: str, used: int, cache: int, *, old: bool = False) -> None:
    """Writes one control group as the kernel shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("memory.limit_in_bytes" if old else "memory.max")).write_text(f"{limit}\n")
    (folder / ("memory.usage_in_bytes" if old else "memory.current")).write_text(f"{used}\n")
    name = "total_inactive_file" if old else "inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{name} {cache}\n")


def test_the_tightest_group_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/user/job\n")
    assert free_in_cgroups(tmp_path / "none", own, MOST) == MOST
    root = tmp_path / "fs"
    group(root / "user" / "job", "max", 500, 0)
    assert free_in_cgroups(root, own, MOST) == MOST
    group(root / "user" / "job", "4000", 1000, 200)
    assert free_in_cgroups(root, own, MOST) == 3200
    group(root / "user", "2500", 2000, 100)
    assert free_in_cgroups(root, own, MOST) == 600
    assert free_in_cgroups(root, own, 50) == 50
    assert free_in_cgroups(root, tmp_path / "missing", MOST) == MOST


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/docker/abc\n")
    group(tmp_path / "fs", "9000", 1000, 0)
    assert free_in_cgroups(tmp_path / "fs", own, MOST) == 8000


def test_the_first_version_s_groups(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("12:cpu,cpuacct:/job\n4:memory:/job\n0::/\n")
    group(tmp_path / "fs" / "memory" / "job", "7000", 1000, 500, old=True)
    assert free_in_cgroups(tmp_path / "fs", own, MOST) == 6500


def test_never_more_than_the_machine_has() -> None:
    assert 0 < free_host_bytes() <= psutil.virtual_memory().total


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is enforced on Linux alone")
def test_a_limited_address_space_counts() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));"
        "from flowtui.engine.host import free_host_bytes; print(free_host_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1 << 30
