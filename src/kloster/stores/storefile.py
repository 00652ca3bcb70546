"""One SQLite file that holds one overlay or one closed layer.

The model. The file holds what one map of the stack says: a row per key, an object or a tombstone. It is read once,
when it is opened; afterwards memory is the truth and the file is only written to. A commit is a set of rows.

What is particular about the way SQLite is used here:

- WAL with ``synchronous=FULL``: a commit is one append and one fsync. The file is held exclusively, so there is no
  shared-memory file, and nothing else opens it: what wants to read a live store asks its process.
- **The revision is not stored apart.** Each write's revision stands in its row and every key's last row stays
  (deletions leave a tombstone row, which is purged later but never while it is the newest), so the newest
  revision is that of the newest row. An ordinary write is therefore a single statement.
- **As few statements as possible.** Python gives up the GIL around each step of a statement and has to wait for the
  event loop to give it back; a loop under load turns a commit of 100 statements into seconds. So a batch is one
  statement, and a file is loaded with one row of aggregates per 128 objects.
- A new file is made under another name, synced, renamed, and its directory synced: there are no half-made files.

Everything here blocks and belongs in a thread, one at a time per file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import uuid4

import orjson

from kloster.stores.api import Entry, Key, StoreBroken
from kloster.stores.rows import ROWS_PER_STATEMENT, Content, Rows, load, statements

FORMAT: Final = 1
_APPLICATION: Final = 0x4B4C5354  # "KLST", in the header of every file of ours
_WAL_LIMIT: Final = 4 << 20
_PAGE: Final = 4096

_SCHEMA: Final = """
CREATE TABLE entries (
  id INTEGER PRIMARY KEY,
  resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  revision INTEGER NOT NULL,
  head BLOB, tail BLOB,
  labels TEXT, fields TEXT, version TEXT,
  UNIQUE (resource, namespace, name)
);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a store file says about itself."""

    id: str
    """Names this file's content; the layer has this id when the file is frozen."""
    base: tuple[str, ...] = ()
    """Ids of the layers that it lies on, the topmost first."""
    floor: int = 0
    """Revisions up to here may have been issued, whatever the rows say."""
    frozen: bool = False
    successor: str = ""
    """If frozen: the name of the file in the same directory in which its cluster goes on, if any."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors after which a file is of no use become StoreBroken; others (full disk, I/O) pass."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreBroken(f"{path} is damaged or no Kloster store ({error}); restore it from a snapshot") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreBroken(f"{path} is in use by another program; stop that first") from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) and not os.access(path, os.R_OK | os.W_OK):
            raise StoreBroken(f"{path} cannot be opened ({error}); check its owner and permissions") from error
        raise


def create(path: Path, info: FileInfo, rows: Rows | None = None) -> None:
    """Make a complete, durable file at `path`, replacing nothing: raises FileExistsError."""
    if path.exists():
        raise FileExistsError(f"{path} exists")
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = _connect(scratch, "rw")
    try:
        # Nobody knows this file yet, so SQLite need not sync (nor keep a journal, which the first of the settings that
        # are stored in the file would already write); it is synced as a whole below.
        connection.executescript(
            f"PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF; PRAGMA locking_mode=EXCLUSIVE;"
            f"PRAGMA page_size={_PAGE}; PRAGMA auto_vacuum=INCREMENTAL;"
            f"PRAGMA application_id={_APPLICATION}; PRAGMA user_version={FORMAT}; BEGIN; {_SCHEMA}"
        )
        _write_info(connection, info)
        for statement, values in statements(rows or {}):
            connection.execute(statement, values)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        _sync(scratch)
        scratch.rename(path)
    except BaseException:
        connection.close()
        scratch.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def read_frozen(path: Path) -> tuple[FileInfo, Content]:
    """Read a closed layer without locking it: it never changes. Raises StoreBroken."""
    with translated(path):
        connection = _connect(path, "ro&immutable=1")
        try:
            info = _read_info(connection, path)
            if not info.frozen:
                raise StoreBroken(f"{path} belongs to a cluster that writes to it; only frozen files are layers")
            return info, load(connection)
        finally:
            connection.close()


def settle(path: Path) -> FileInfo:
    """What the file says about itself, after carrying over the log that a crash left. Nothing may have it open.

    Raises StoreBroken. A closed layer is not written to.
    """
    log = path.with_name(path.name + "-wal")
    with translated(path):
        if log.exists():
            path.chmod(0o600)  # a file that was being frozen may be read-only already
            file = StoreFile(path)
            file.close()
            return file.info
        connection = _connect(path, "ro&immutable=1")
        try:
            return _read_info(connection, path)
        finally:
            connection.close()


class StoreFile:
    """An open overlay file. Its process must hold the `FileLock` of `path`."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._unsaved = 0  # bytes in the WAL since the last checkpoint, at most
        with translated(path):
            self._connection = _connect(path, "rw")
            try:
                self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
                self.info = _read_info(self._connection, path)
                self._connection.executescript(
                    f"PRAGMA synchronous={'FULL' if durable else 'OFF'}; PRAGMA wal_autocheckpoint=0;"
                    f"PRAGMA journal_size_limit={_WAL_LIMIT}; PRAGMA cache_size=-64;"
                )
            except BaseException:
                self._connection.close()
                raise

    def load(self) -> Content:
        with translated(self.path):
            return load(self._connection)

    def revision(self) -> int:
        """The newest revision in the file, without loading it."""
        with translated(self.path):
            newest = self._connection.execute("SELECT max(revision) FROM entries").fetchone()[0]
        return max(newest or 0, self.info.floor)

    def write(self, rows: Rows) -> None:
        """Commit `rows`, all or none; durable when this returns. After an error the file must be reopened."""
        prepared = list(statements(rows))
        with translated(self.path):
            if len(prepared) == 1:
                self._connection.execute(*prepared[0])
            else:
                self._connection.execute("BEGIN IMMEDIATE")
                for statement, values in prepared:
                    self._connection.execute(statement, values)
                self._connection.execute("COMMIT")
        self._unsaved += sum(
            _PAGE + (len(row.head) + len(row.tail) if isinstance(row, Entry) else 0) for row in rows.values()
        )

    def set_info(self, info: FileInfo) -> None:
        with translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            _write_info(self._connection, info)
            self._connection.execute("COMMIT")
        self.info = info

    @property
    def wants_checkpoint(self) -> bool:
        return self._unsaved >= _WAL_LIMIT

    def checkpoint(self) -> None:
        """Carry the WAL over into the file, so that it does not grow for ever."""
        with translated(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._unsaved = 0

    def vacuum(self, pages: int) -> None:
        """Give back up to `pages` of what deletions have freed, if it is a good part of the file."""
        with translated(self.path):
            free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
            total = self._connection.execute("PRAGMA page_count").fetchone()[0]
            if free > 64 and free * 4 > total:
                # A script, because `execute` would take a single step, that is free a single page.
                self._connection.executescript(f"PRAGMA incremental_vacuum({min(free, pages)})")

    def purge(self, tombstones: Mapping[Key, int], newest: int) -> None:
        """Delete tombstone rows that hide nothing, except that of revision `newest`."""
        keys = [key for key, revision in tombstones.items() if revision < newest]
        with translated(self.path):
            for start in range(0, len(keys), ROWS_PER_STATEMENT):
                part = keys[start : start + ROWS_PER_STATEMENT]
                places = ",".join(["(?,?,?)"] * len(part))
                self._connection.execute(
                    f"DELETE FROM entries WHERE head IS NULL AND (resource, namespace, name) IN (VALUES {places})",
                    [text for key in part for text in key],
                )

    def close(self) -> None:
        """Close; SQLite carries the WAL over and removes it."""
        with translated(self.path):
            self._connection.close()

    def abandon(self) -> None:
        """Close after an error, expecting nothing."""
        with suppress(sqlite3.Error):
            self._connection.close()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=8,
    )
    connection.text_factory = bytes
    return connection


def _read_info(connection: sqlite3.Connection, path: Path) -> FileInfo:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != _APPLICATION:
        raise StoreBroken(f"{path} is no Kloster store; move it away or choose another data directory")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise StoreBroken(
            f"{path} was written by a newer Kloster (store format {version}, this one reads up to {FORMAT}); "
            f"upgrade Kloster or restore a snapshot of the older one"
        )
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    return FileInfo(
        id=meta[b"id"].decode(),
        base=tuple(orjson.loads(meta[b"base"])),
        floor=int(meta[b"floor"]),
        frozen=meta[b"frozen"] == b"1",
        successor=meta[b"successor"].decode(),
    )


def _write_info(connection: sqlite3.Connection, info: FileInfo) -> None:
    connection.execute(
        "REPLACE INTO meta VALUES ('id', ?), ('base', ?), ('floor', ?), ('frozen', ?), ('successor', ?)",
        (info.id, orjson.dumps(info.base).decode(), str(info.floor), str(int(info.frozen)), info.successor),
    )


def new_id() -> str:
    return uuid4().hex


def _sync(path: Path) -> None:
    """fsync a file, or a directory so that the names in it last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
