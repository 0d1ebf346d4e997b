"""The cache's SQLite index, inspected before diskcache opens it and listed without diskcache.

diskcache turns every row of its Settings table into attributes and PRAGMA statements. So an index is first brought to
exactly the settings flowtui uses, rows that flowtui cannot have written are dropped, and an index that is damaged or
holds anything else is set aside.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from flowtui.errors import CacheError

from .disk import FILE_GLOB, KEY, MODE_BINARY, MODE_RAW
from .faults import hint_for, reason_of
from .place import OTHERWISE
from .plain import shown

DATABASE = "cache.db"
DAMAGED = "cache.damaged"
LOCK_WAIT_S = 2.0
MAX_TAG_CHARS = 1200

_COUNTERS = ("count", "size", "hits", "misses")
_SCHEMA = {
    *(("table", name) for name in ("Settings", "Cache")),
    *(("index", f"Cache_{name}") for name in ("key_raw", "expire_time", "access_time", "store_time", "tag_rowid")),
    ("index", "sqlite_autoindex_Settings_1"),
    *(("trigger", f"Settings_{what}") for what in ("count_insert", "count_delete")),
    *(("trigger", f"Settings_size_{what}") for what in ("insert", "update", "delete")),
}
_COLUMNS = {
    "Settings": ("key", "value"),
    "Cache": (
        *("rowid", "key", "raw", "store_time", "expire_time", "access_time"),
        *("access_count", "tag", "size", "mode", "filename", "value"),
    ),
}
_WORD = re.compile(
    r"\s|[(),]|\b(CREATE|TABLE|UNIQUE|INDEX|ON|IF|NOT|EXISTS|INTEGER|PRIMARY|KEY|BLOB|REAL|TEXT|DEFAULT|0|WHERE|IS|NULL"
    r"|Settings|Cache|key|value|rowid|raw|store_time|expire_time|access_time|access_count|tag|size|mode|filename"
    r"|Cache_(key_raw|expire_time|access_time|store_time|tag_rowid))\b"
)
"""All that diskcache's own tables and indexes are written with."""
_FOREIGN_ROW = (
    "typeof(key) != 'text' OR length(key) NOT BETWEEN 1 AND 128 OR key GLOB '*[^0-9A-Za-z_-]*'"
    " OR raw IS NOT 1 OR typeof(size) != 'integer' OR size < 0 OR expire_time IS NOT NULL"
    " OR typeof(access_time) NOT IN ('real', 'integer') OR typeof(store_time) NOT IN ('real', 'integer')"
    # A calendar ends somewhere: what is later than year 5000 is no time of use.
    " OR access_time NOT BETWEEN 0 AND 1e11 OR store_time NOT BETWEEN 0 AND 1e11"
    f" OR NOT ((mode IS {MODE_RAW} AND typeof(value) = 'blob' AND filename IS NULL)"
    f" OR (mode IS {MODE_BINARY} AND value IS NULL AND typeof(filename) = 'text' AND filename GLOB '{FILE_GLOB}'))"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One layer of one analysis in the cache.

    Attributes:
        key: Its name.
        analysis: Name of the analysis, or "" where it was stored without one.
        layer: 0-based layer or K, or None.
        model: Name of the model, or "".
        size_bytes: Size with its checksum.
        stored_at_s: When it was stored, seconds since 1970.
        used_at_s: When it was last used.
    """

    key: str
    analysis: str
    layer: int | None
    model: str
    size_bytes: int
    stored_at_s: float
    used_at_s: float


def label(analysis: str, layer: int | None, model: str) -> str:
    """What is stored beside an entry so that it can be listed."""
    return json.dumps([analysis[:40], layer, model[-120:]])


def inspect(folder: Path, settings: Mapping[str, object]) -> tuple[int, bool]:
    """Makes an existing index safe for diskcache to open; does nothing where there is none.

    Args:
        folder: The cache folder.
        settings: Every setting diskcache is going to be opened with.

    Returns:
        (rows dropped, whether the index was set aside).

    Raises:
        CacheError: The index is locked, or the disk does not let it be written.
    """
    path = folder / DATABASE
    if path.is_symlink():
        path.unlink()
    if not path.exists():
        return 0, False
    if not path.is_file():
        set_aside(folder)
        return 0, True
    try:
        with closing(_connect(path)) as database:
            if _is_ours(database):
                return _clean(database, settings), False
    except sqlite3.DatabaseError as error:
        reason = reason_of(error)
        if not _is_damage(error):
            text = f"The cache in {shown(folder)} cannot be used: {reason}."
            raise CacheError(text, hint_for(reason, OTHERWISE)) from error
    set_aside(folder)
    return 0, True


def rows(folder: Path) -> list[Entry]:
    """Every entry, the least recently used first.

    Raises:
        sqlite3.Error: The index cannot be read.
    """
    query = (
        "SELECT key, tag, CASE WHEN filename IS NULL THEN length(value) ELSE size END, store_time, access_time"
        " FROM Cache WHERE raw = 1 AND typeof(key) = 'text' ORDER BY access_time, rowid"
    )
    with closing(_connect(folder / DATABASE)) as database:
        found = database.execute(query).fetchall()
    return [
        Entry(key, *_unlabel(tag), int(size or 0), float(stored or 0), float(used or 0))
        for key, tag, size, stored, used in found
        if KEY.fullmatch(key)
    ]


def files(folder: Path) -> set[str]:
    """Relative names of all value files that a row points to."""
    with closing(_connect(folder / DATABASE)) as database:
        return {name for (name,) in database.execute("SELECT filename FROM Cache WHERE filename IS NOT NULL")}


def damage(folder: Path) -> str:
    """What SQLite's own check of the whole index finds, or ""."""
    try:
        with closing(_connect(folder / DATABASE)) as database:
            found = [str(line) for (line,) in database.execute("PRAGMA integrity_check(3)")]
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)
    with suppress(sqlite3.OperationalError):
        # A tampered schema may not call functions behind our back.
        database.execute("PRAGMA trusted_schema = OFF")
    return database


def _is_ours(database: sqlite3.Connection) -> bool:
    objects = set(database.execute("SELECT type, name FROM sqlite_master"))
    made_by = database.execute("SELECT sql FROM sqlite_master WHERE type != 'trigger' AND sql IS NOT NULL")
    return (
        objects <= _SCHEMA
        # A column may be computed, a row checked: by a program that somebody else wrote.
        and all(type(sql) is str and len(sql) < 2000 and _WORD.sub("", sql) == "" for (sql,) in made_by)
        and all(
            ("table", table) not in objects
            or columns == tuple(row[1] for row in database.execute(f"PRAGMA table_info({table})"))
            for table, columns in _COLUMNS.items()
        )
    )


def _clean(database: sqlite3.Connection, settings: Mapping[str, object]) -> int:
    database.execute("BEGIN IMMEDIATE")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    # Under our names they may do anything; diskcache makes them anew.
    for kind, name in sorted(_SCHEMA):
        if kind == "trigger":
            database.execute(f"DROP TRIGGER IF EXISTS {name}")
    dropped = 0
    if "Cache" in tables:
        dropped = database.execute(f"DELETE FROM Cache WHERE {_FOREIGN_ROW}").rowcount  # noqa: S608  (a constant)
    if "Settings" in tables:
        for rowid, key, value in database.execute("SELECT rowid, key, value FROM Settings").fetchall():
            if key in _COUNTERS:
                continue
            if key not in settings or type(value) is not type(settings[key]) or value != settings[key]:
                database.execute("DELETE FROM Settings WHERE rowid = ?", (rowid,))
        if "Cache" in tables:
            count, size = database.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM Cache").fetchone()
            for key, value in zip(_COUNTERS, (count, size, 0, 0), strict=True):
                database.execute("INSERT OR REPLACE INTO Settings VALUES (?, ?)", (key, value))
    database.execute("COMMIT")
    return dropped


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    # SQLITE_ERROR: a statement does not fit the tables, so they are not ours.
    return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA)


def set_aside(folder: Path) -> None:
    """Moves a damaged index out of the way, over any earlier one.

    Raises:
        CacheError: It cannot be moved.
    """
    try:
        (folder / DATABASE).replace(folder / DAMAGED)
        for suffix in ("-wal", "-shm", "-journal"):
            (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    except OSError as error:
        reason = reason_of(error)
        text = f"The cache's damaged index in {shown(folder)} cannot be set aside: {reason}."
        raise CacheError(text, hint_for(reason, OTHERWISE)) from error


def _unlabel(tag: object) -> tuple[str, int | None, str]:
    # Text from the disk, shown to a person: anything unexpected is shown as nothing.
    try:
        if type(tag) is not str or len(tag) > MAX_TAG_CHARS:
            return "", None, ""
        analysis, layer, model = json.loads(tag)
    except (ValueError, TypeError, RecursionError):
        return "", None, ""
    if type(analysis) is not str or type(model) is not str or (layer is not None and type(layer) is not int):
        return "", None, ""
    return shown(analysis), layer, shown(model)
