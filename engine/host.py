"""How much memory this process can still have on its machine. Torch-free."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def free_host_bytes() -> int:
    """What the machine has available, the limits of the process' control groups and of its address space included."""
    free = int(psutil.virtual_memory().available)
    if sys.platform == "linux":
        free = min(free, free_in_cgroups(_CGROUPS, _OWN_CGROUP, free), _free_address_space(free))
    return max(0, free)


def free_in_cgroups(root: Path, own: Path, most: int) -> int:
    """What the control groups of a process leave it, from the innermost outwards; `most` where none limits it.

    Args:
        root: Where control groups are mounted.
        own: The process' list of its groups.
        most: The result where there is no limit.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return most
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            names, base = ("memory.max", "memory.current", "inactive_file"), root
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = root / "memory"
        else:
            continue
        folder = base / path.lstrip("/")
        # Inside a container the path may be the host's, and the root is the container's own group.
        for group in (folder, *folder.parents):
            if base == group or base in group.parents:
                most = min(most, _left_in(group, *names))
    return most


def _left_in(group: Path, limit: str, used: str, reclaimable: str) -> int:
    """Bytes left in one group; those of files that can be read again count as free."""
    try:
        highest = int((group / limit).read_text())
        taken = int((group / used).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        # No such group, or the limit is "max".
        return sys.maxsize
    return highest - taken + int(stat.get(reclaimable, 0))


def _free_address_space(most: int) -> int:
    """What `ulimit -v` leaves."""
    process = psutil.Process()
    limit = process.rlimit(psutil.RLIMIT_AS)[0]
    return most if limit == psutil.RLIM_INFINITY else limit - process.memory_info().vms
