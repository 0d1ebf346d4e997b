"""Where the cache lives: the user's own cache folder, or node-local scratch where that is on a network file system."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowtui.errors import CacheError

from .faults import hint_for, reason_of
from .plain import shown

VARIABLE = "FLOWTUI_CACHE_DIR"
OTHERWISE = f"set {VARIABLE} to a folder of your own on a local disk"
LEAF = "layers"
OWN_NAMES = ("cache.db", "cache.damaged", "locks")

# SQLite's log needs memory shared between all who have it open, which no file system gives across machines.
NETWORK_TYPES = (
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ncpfs"),
    *("ceph", "lustre", "gpfs", "beegfs", "glusterfs", "orangefs", "pvfs2", "panfs", "wekafs", "ocfs2", "gfs2"),
)
NETWORK_FUSE = ("sshfs", "glusterfs", "s3fs", "gcsfuse", "rclone", "ceph", "juicefs", "beegfs", "davfs", "nfs", "smb")
SCRATCH_VARIABLES = ("SLURM_TMPDIR", "PBS_JOBFS", "TMPDIR")


@dataclass(frozen=True, slots=True)
class CachePlace:
    """The chosen folder.

    Attributes:
        path: The cache folder, there and private after `ensure_folder`.
        reason: Why this one, for `cache info` and `doctor`.
    """

    path: Path
    reason: str


def choose_place(environ: Mapping[str, str] | None = None, mounts: str | None = None) -> CachePlace:
    """Chooses the cache folder; makes nothing.

    Args:
        environ: Environment; None for the process's own.
        mounts: Text in the form of /proc/self/mountinfo; None for the system's own.

    Raises:
        CacheError: Every candidate is on a network file system.
    """
    environ = os.environ if environ is None else environ
    mounts = _system_mounts() if mounts is None else mounts
    asked = environ.get(VARIABLE, "").strip()
    if asked:
        wanted, why = Path(os.path.expanduser(asked)), f"{VARIABLE} is set"  # noqa: PTH111  (Path's raises)
    else:
        wanted, why = _user_cache(), "the user's cache folder"
    kind = network_type(wanted, mounts)
    if kind is None:
        return CachePlace(wanted.resolve() / LEAF, why)
    for scratch in _scratch(environ):
        if network_type(scratch, mounts) is None and scratch.is_dir():
            # Others may write here: the folder itself must not be a link, and `ensure_folder` checks whose it is.
            path = scratch.resolve() / f"flowtui-{os.geteuid()}-{LEAF}"
            return CachePlace(path, f"node-local scratch, because {shown(wanted)} is on a network file system ({kind})")
    raise CacheError(f"{shown(wanted)} is on a network file system ({kind}).", _hint(""))


def ensure_folder(path: Path) -> None:
    """Makes the folder, for its owner alone, or checks that it is so.

    Raises:
        CacheError: It cannot be made, belongs to someone else, is a link or a file, or is open to others and holds
            files that are not the cache's.
    """
    name = shown(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode):
            raise CacheError(f"The cache folder {name} is a link or a file.", _hint(""))
        if info.st_uid != os.geteuid():
            raise CacheError(f"The cache folder {name} belongs to user {info.st_uid}, not to you.", _hint(""))
        if info.st_mode & 0o077:
            if foreign := sorted(p.name for p in path.iterdir() if not _own(p.name)):
                raise CacheError(
                    f"The cache folder {name} is open to others and holds files of others ({shown(foreign[0])}).",
                    f"Empty it, or make it private with chmod 700, or {OTHERWISE}.",
                )
            path.chmod(0o700)
        _probe(path)
    except OSError as error:
        reason = _read_only_or(reason_of(error), error)
        raise CacheError(f"The cache folder {name} cannot be used: {reason}.", _hint(reason)) from error


def network_type(path: Path, mounts: str) -> str | None:
    """The type of the network file system a path is, or would be, on; None for a local one.

    Args:
        path: A path that need not exist.
        mounts: Text in the form of /proc/self/mountinfo.
    """
    real = os.path.realpath(path)
    best, found = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = fields[4].encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # >=: what is mounted later on the same point hides what was there.
        if inside and len(point) >= best:
            best, found = len(point), right.split()[0]
    kind, _, sub = found.partition(".")
    if kind in NETWORK_TYPES or (kind in ("fuse", "fuseblk") and sub.startswith(NETWORK_FUSE)):
        return found
    return None


def _system_mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        # Not Linux: there psutil knows.
        import psutil

        return "\n".join(f"0 0 0:0 / {p.mountpoint} - {p.fstype} x" for p in psutil.disk_partitions(all=True))


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("flowtui", appauthor=False)


def _scratch(environ: Mapping[str, str]) -> list[Path]:
    named = [Path(environ[name]) for name in SCRATCH_VARIABLES if environ.get(name)]
    return [*named, Path("/var/tmp"), Path("/tmp")]  # noqa: S108  (the folder made there is checked for its owner)


def _own(name: str) -> bool:
    return name.startswith(OWN_NAMES) or (len(name) == 2 and all(c in "0123456789abcdef" for c in name))


def _probe(path: Path) -> None:
    # The only honest test of "can be written to": permissions say nothing to root or about a full disk.
    with tempfile.TemporaryFile(dir=path) as file:
        file.write(b"\0" * 4096)


def _read_only_or(reason: str, error: OSError) -> str:
    return "it is a file, not a folder" if isinstance(error, FileExistsError) else reason


def _hint(reason: str) -> str:
    return hint_for(reason, OTHERWISE)
