"""Cache folders that somebody else has written to."""

from __future__ import annotations

import os
import pickle
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from flowtui.cache.place import LEAF, VARIABLE
from flowtui.cache.store import LayerCache
from flowtui.errors import CacheError
from tests.trust.attacks.attack import TOUCH, Attack, command
from tests.trust.attacks.pickles import Calls

KEYS = tuple(f"{i:02x}" * 32 for i in range(3))
VALUE = os.urandom(100_000)
EVIL = pickle.dumps(Calls(os.system, TOUCH), 4)
OUTSIDE = Path("../outside/secret.val")
"""A file beside the attacked folder that must be neither read nor changed."""


def _sql(*statements: str, **values: object) -> Callable[[], None]:
    def tamper() -> None:
        with closing(sqlite3.connect("layers/cache.db", isolation_level=None)) as database:
            for statement in statements:
                database.execute(statement, {k: v for k, v in values.items() if f":{k}" in statement})

    return tamper


def _value_file() -> Path:
    return next(Path("layers").glob("??/*.val"))


def _linked_value() -> None:
    path = _value_file()
    path.unlink()
    path.symlink_to(OUTSIDE.absolute())


def _linked_folder() -> None:
    folder = _value_file().parent
    folder.rename("moved")
    folder.symlink_to(OUTSIDE.parent.absolute())


def _linked_index() -> None:
    Path("layers/cache.db").unlink()
    Path("layers/cache.db").symlink_to(OUTSIDE.absolute())


def _linked_orphan() -> None:
    Path("layers/ee").symlink_to(OUTSIDE.parent.absolute())
    Path("layers/ff").mkdir()
    Path("layers/ff", "0" * 30 + ".val").symlink_to(OUTSIDE.absolute())


def _linked_cache() -> None:
    Path("layers").rename("moved")
    Path("layers").symlink_to("moved")


def _linked_locks() -> None:
    for path in Path("layers/locks").glob("*"):
        path.unlink()
    Path("layers/locks").rmdir()
    Path("layers/locks").symlink_to(OUTSIDE.parent.absolute())


def _linked_lock() -> None:
    Path("layers/locks").mkdir(exist_ok=True)
    Path("layers/locks/open").unlink(missing_ok=True)
    Path("layers/locks/open").symlink_to(OUTSIDE.absolute())


def _pipe() -> None:
    path = _value_file()
    path.unlink()
    os.mkfifo(path)


def _huge_value() -> None:
    with _value_file().open("r+b") as file:
        file.truncate(1 << 40)


def _swap() -> None:
    first, second = list(Path("layers").glob("??/*.val"))[:2]
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


ROW = "UPDATE Cache SET "
TAMPERED: dict[str, Callable[[], None]] = {
    "a pickled value": _sql(f"{ROW}mode = 4, value = :evil, filename = NULL", evil=EVIL),
    "a pickled value of a raw mode": _sql(f"{ROW}mode = 1, value = :evil, filename = NULL", evil=EVIL),
    "a pickled value in a file": _sql(f"{ROW}mode = 4"),
    "a pickled key": _sql(f"{ROW}key = :evil || rowid, raw = 0", evil=EVIL),
    "a key of raw bytes": _sql(f"{ROW}key = CAST(rowid || 'x' AS BLOB)"),
    "a key that steers": _sql(f"{ROW}key = char(27) || ']52;c;AA' || char(7) || rowid"),
    "a key of a megabyte": _sql(f"{ROW}key = rowid || hex(zeroblob(1000000))"),
    "a file outside": _sql(f"{ROW}filename = '../../outside/secret.val'"),
    "a file behind its own folder": _sql(f"{ROW}filename = 'ab/../../../outside/secret.val'"),
    "an absolute file": _sql(f"{ROW}filename = :path", path=str(OUTSIDE.absolute())),
    "the index as a file": _sql(f"{ROW}filename = 'cache.db'"),
    "a file with a zero byte": _sql(f"{ROW}filename = filename || char(0) || '/../x'"),
    "a file's name of bytes": _sql(f"{ROW}filename = CAST(filename AS BLOB)"),
    "text for a value": _sql(f"{ROW}mode = 3, value = 'x', filename = NULL"),
    "a zlib bomb": _sql(
        f"{ROW}mode = 1, filename = NULL, value = :bomb", bomb=zlib.compress(bytes(1 << 27), 9)
    ),
    "a tag that steers": _sql(f"{ROW}tag = '[\"' || char(27) || '[2J\", 0, \"' || char(155) || 'x\"]'"),
    "a tag that nests": _sql(f"{ROW}tag = :tag", tag="[" * 1000),
    "a pickled tag": _sql(f"{ROW}tag = :evil", evil=EVIL),
    "sizes that overflow": _sql(f"{ROW}size = 9223372036854775807"),
    "sizes below nothing": _sql(f"{ROW}size = -1000000"),
    "times that are text": _sql(f"{ROW}access_time = 'x', store_time = 'y'"),
    "times without end": _sql(f"{ROW}access_time = 9e999, store_time = -9e999"),
    "times that are gone": _sql(f"{ROW}expire_time = 1"),
    "a setting with code": _sql("INSERT OR REPLACE INTO Settings VALUES ('disk_x; ATTACH ''x'' AS y', 1)"),
    "a pragma that is set": _sql("INSERT OR REPLACE INTO Settings VALUES ('sqlite_writable_schema', 1)"),
    "a pickled setting": _sql("INSERT OR REPLACE INTO Settings VALUES ('disk_pickle_protocol', :evil)", evil=EVIL),
    "a setting for diskcache itself": _sql("INSERT OR REPLACE INTO Settings VALUES ('_disk', 'x')"),
    "another eviction": _sql("UPDATE Settings SET value = 'none; DROP TABLE Cache' WHERE key = 'eviction_policy'"),
    "settings gone": _sql("DELETE FROM Settings"),
    "counts that lie": _sql("UPDATE Settings SET value = 9223372036854775807 WHERE key IN ('count', 'size')"),
    "a trigger": _sql("CREATE TRIGGER evil AFTER UPDATE ON Cache BEGIN DELETE FROM Cache; END"),
    "a trigger under a name of ours": _sql(
        "DROP TRIGGER Settings_count_insert",
        "CREATE TRIGGER Settings_count_insert AFTER UPDATE ON Cache BEGIN UPDATE Cache SET value = 'x'; END",
    ),
    "a trigger that loops": _sql(
        "DROP TRIGGER Settings_count_insert",
        "CREATE TRIGGER Settings_count_insert AFTER UPDATE ON Settings BEGIN "
        "UPDATE Settings SET value = (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900000000) "
        "SELECT max(i) FROM n) WHERE key = 'count'; END",
    ),
    "a view for a table": _sql("ALTER TABLE Cache RENAME TO Other", "CREATE VIEW Cache AS SELECT * FROM Other"),
    "a table more": _sql("CREATE TABLE evil(x)"),
    "columns that are computed": _sql("ALTER TABLE Cache ADD COLUMN evil AS (hex(zeroblob(300000000)))"),
    "no tables": _sql("DROP TABLE Cache", "DROP TABLE Settings"),
    "no index": lambda: Path("layers/cache.db").unlink(),
    "an index that is text": lambda: _write("layers/cache.db", b"hello" * 1000),
    "an index that is a pickle": lambda: _write("layers/cache.db", EVIL),
    "an index cut short": lambda: os.truncate("layers/cache.db", 5000),
    "a log that is damaged": lambda: _write("layers/cache.db-wal", os.urandom(10_000)),
    "a link for a value": _linked_value,
    "a link for a folder of values": _linked_folder,
    "a link for the index": _linked_index,
    "links among what nobody needs": _linked_orphan,
    "a link for the cache": _linked_cache,
    "a link for the locks": _linked_locks,
    "a link for a lock": _linked_lock,
    "a pipe for a value": _pipe,
    "a value of a terabyte": _huge_value,
    "values that are swapped": _swap,
    "a value that is a pickle": lambda: _write(str(_value_file()), EVIL),
}  # fmt: skip


def _write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)


def _attempt(tamper: Callable[[], None]) -> None:
    folder = Path(LEAF).absolute()
    os.environ[VARIABLE] = str(Path.cwd())
    with LayerCache.open(folder) as store:
        for key in KEYS:
            assert store.put(key, VALUE + key.encode(), analysis="cam", layer=1, model="demo")
    tamper()
    for arguments in (("list",), ("verify",)):
        command("cache", *arguments, codes=(0, 4, 8))
    try:
        with LayerCache.open(folder) as store:
            for key in KEYS:
                found = store.get(key)
                assert found in (None, VALUE + key.encode()), "a value came back that nobody stored"
                store.put(key, VALUE + key.encode())
            notices = store.take_notices()
            assert all(notice.isprintable() for notice in notices), notices
    except CacheError as error:
        said = error.message
        assert said.isprintable()
        assert len(said) < 500
    for arguments in (("verify", "--repair"), ("clear",)):
        command("cache", *arguments, codes=(0, 4))


def attacks() -> list[Attack]:
    """All of them."""
    return [Attack("caches", name, partial(_attempt, tamper)) for name, tamper in TAMPERED.items()]
