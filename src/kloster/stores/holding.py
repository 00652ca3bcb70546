"""How batches reach a store file, and what happens when they do not.

A `Holding` is what one store holds of the machine: the lock and the open file. The `FileCommitter` turns batches
into rows in the event loop and has the holding write them in a thread.

**After a failed commit** nobody can know whether it reached the disk: an fsync that failed is never retried, since
the kernel may have dropped the pages and would report success. The file is closed and opened again, and the rows
of the failed batch are written back as they are published, so that what was reported as failed stays undone. If
that fails as well (the disk is still full), it is tried again before the next commit.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from kloster.stores.api import Entry, Event, Key, StoreBroken, StoreFailed
from kloster.stores.locking import FileLock
from kloster.stores.rows import Rows, rows_of
from kloster.stores.state import Overlay
from kloster.stores.storefile import FileInfo, StoreFile, create, new_id

P = ParamSpec("P")
T = TypeVar("T")

_PURGE_AT: Final = 256  # tombstone rows that hide nothing, before they are deleted

Fault = Callable[[str], None]
"""Called in the committing thread with "before" and "after" around each write; tests raise from it."""


class Holding:
    """What one store holds of the machine: the lock, the open file, and what is still to be undone in it.

    Its methods block; one thread at a time calls them. The state in memory is read by them only where it cannot
    change: the layers, and rows that were prepared in the event loop.
    """

    def __init__(self, path: Path, lock: FileLock, file: StoreFile, durable: bool, fault: Fault | None) -> None:
        self.path = path
        self.needless: dict[Key, int] = {}  # tombstone rows without an object below
        self._lock = lock
        self._file: StoreFile | None = file
        self._info = file.info
        self._durable = durable
        self._fault = fault or (lambda _: None)
        self._undo: dict[Key, Entry | int] = {}
        self._published = 0

    @property
    def id(self) -> str:
        return self._info.id

    def write(self, rows: Rows, undo: Rows, published: int, issued: int) -> None:
        """Commit `rows`. If that fails, `undo` are the rows as they were at the revision `published`."""
        self._published = published
        file = self._file or self._reopen()
        try:
            self._fault("before")
            file.write(rows)
            self._fault("after")
        except BaseException:
            self._undo = {**undo, **self._undo}
            self._give_up()
            raise
        self._published = issued

    @property
    def wants_upkeep(self) -> bool:
        return self._file is not None and (self._file.wants_checkpoint or len(self.needless) >= _PURGE_AT)

    def keep_up(self, newest: int) -> None:
        file = self._file or self._reopen()
        try:
            if len(self.needless) >= _PURGE_AT:
                self._purge(file, newest)
            file.vacuum(pages=256)  # a step each, while the next batch waits
            file.checkpoint()
        except BaseException:
            self._give_up()
            raise

    def rest(self, newest: int) -> None:
        """Close the file, tidied, but keep the lock; the next write opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                self._purge(file, newest)
                file.vacuum(pages=8192)
                file.close()
            finally:
                file.abandon()

    def set_base(self, base: Sequence[str]) -> None:
        file = self._file or self._reopen()
        try:
            self._info = dataclasses.replace(self._info, base=tuple(base))
            file.set_info(self._info)
        except BaseException:
            self._give_up()
            raise

    def freeze(self, path: Path, revision: int) -> str:
        """Close this file for ever and go on in a new one at `path`. Returns the frozen file's id."""
        file = self._file or self._reopen()
        frozen = self._info.id
        lock = FileLock(path)
        try:
            create(path, FileInfo(new_id(), (frozen, *self._info.base), floor=revision))
            successor = StoreFile(path, durable=self._durable)
        except BaseException:
            lock.release()
            raise
        try:
            file.set_info(dataclasses.replace(self._info, frozen=True, floor=revision, successor=path.name))
            file.close()
            self.path.chmod(0o400)
        except BaseException:
            successor.abandon()
            lock.release()
            self._give_up()
            raise
        self._lock.release()
        self._lock, self._file, self._info, self.path = lock, successor, successor.info, path
        self.needless = {}
        return frozen

    def close(self, newest: int) -> None:
        """Leave a tidy file. What fails here loses nothing: the WAL is read at the next opening."""
        try:
            if self._file is None and self._undo:
                self._reopen()
            self.rest(newest)
        finally:
            self.release()

    def release(self) -> None:
        """Let go of everything, whatever happened before. Idempotent."""
        if self._file is not None:
            self._file.abandon()
            self._file = None
        self._lock.release()

    def _purge(self, file: StoreFile, newest: int) -> None:
        file.purge(self.needless, newest)
        self.needless = {key: revision for key, revision in self.needless.items() if revision >= newest}

    def _give_up(self) -> None:
        if self._file is not None:
            self._file.abandon()
            self._file = None
        with suppress(Exception):  # tried again, and then reported, before the next commit
            self._reopen()

    def _reopen(self) -> StoreFile:
        file = StoreFile(self.path, durable=self._durable)
        try:
            if file.info.id != self._info.id or file.revision() < self._published:
                raise StoreBroken(
                    f"{self.path} has lost revisions {file.revision() + 1} to {self._published}, which were durable: "
                    f"it was replaced, or the disk is failing; restore it from a snapshot"
                )
            if self._undo:
                self._fault("before")
                file.write(self._undo)
                self._fault("after")
            if file.info != self._info:
                file.set_info(self._info)
        except BaseException:
            file.abandon()
            raise
        self._undo = {}
        self._file = file
        return file


class FileCommitter:
    """Turns batches into rows, in the event loop, and has them written in the executor."""

    def __init__(self, holding: Holding, overlay: Overlay, executor: Executor) -> None:
        self._holding = holding
        self._overlay = overlay
        self._executor = executor

    def commit(self, events: Sequence[Event]) -> asyncio.Future[None]:
        rows = rows_of(events)
        undo: dict[Key, Entry | int] = {}
        overlay = self._overlay
        needless = self._holding.needless
        for event in events:
            if event.key not in undo:
                undo[event.key] = self._published_row(event.key)
        for key, row in rows.items():
            if isinstance(row, int) and not overlay.is_below(key):
                needless[key] = row
            else:
                needless.pop(key, None)
        return self.run(self._holding.write, rows, undo, overlay.revision, events[-1].revision)

    def upkeep(self) -> asyncio.Future[None] | None:
        if not self._holding.wants_upkeep:
            return None
        return self.run(self._holding.keep_up, self._overlay.revision)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        except RuntimeError as error:  # the executor has been shut down
            failed: asyncio.Future[T] = loop.create_future()
            failed.set_exception(StoreFailed(str(error)))
            return failed

    def _published_row(self, key: Key) -> Entry | int:
        """The row that says what is published at `key`; a tombstone of the newest revision where there was none."""
        entry = self._overlay.get(key)
        return self._overlay.revision if entry is None else entry
