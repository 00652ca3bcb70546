"""The embedded default: one SQLite file per cluster, on shared immutable layers.

Opening reads the file into the overlay; from then on memory serves all reading and the file takes commits. Closing
is *parking*: it releases everything. What blocks runs in the executor that is passed in, which all stores of a
process share.

**After a failed commit** nobody can know whether it reached the disk: an fsync that failed is never retried, since
the kernel may have dropped the pages and would report success. The file is closed and opened again, and the rows
of the failed batch are written back as they are published, so that what was reported as failed stays undone. If
that fails as well (the disk is still full), it is tried again before the next commit.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from kloster.stores.api import Entry, Event, Key, StoreBroken, StoreError, StoreFailed
from kloster.stores.broadcast import LogLimits
from kloster.stores.layerfile import check_base
from kloster.stores.layers import Layer, Table
from kloster.stores.local import LocalStore, Seam
from kloster.stores.locking import FileLock
from kloster.stores.state import Overlay
from kloster.stores.storefile import Content, FileInfo, Rows, StoreFile, create, new_id

P = ParamSpec("P")
T = TypeVar("T")

_PURGE_AT = 256  # tombstone rows that hide nothing, before they are deleted

Fault = Callable[[str], None]
"""Called in the committing thread with "before" and "after" around each write; tests raise from it."""


class _Holding:
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


class _FileCommitter:
    """Turns batches into rows, in the event loop, and has them written in the executor."""

    def __init__(self, holding: _Holding, overlay: Overlay, executor: Executor) -> None:
        self._holding = holding
        self._overlay = overlay
        self._executor = executor

    def commit(self, events: Sequence[Event]) -> asyncio.Future[None]:
        rows: dict[Key, Entry | int] = {}
        undo: dict[Key, Entry | int] = {}
        overlay = self._overlay
        needless = self._holding.needless
        for event in events:
            rows[event.key] = event.revision if event.new is None else event.new
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


class SqliteStore(LocalStore):
    """A `Store` in the SQLite file `path`, over `base`. Use `open`."""

    def __init__(
        self,
        holding: _Holding,
        overlay: Overlay,
        executor: Executor,
        *,
        limits: LogLimits | None = None,
        seam: Seam | None = None,
    ) -> None:
        self._holding = holding
        self._committer = _FileCommitter(holding, overlay, executor)
        self._closing: asyncio.Future[None] | None = None
        super().__init__(overlay, self._committer, limits=limits, seam=seam)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        executor: Executor,
        base: Sequence[Layer] = (),
        durable: bool = True,
        floor: int = 0,
        limits: LogLimits | None = None,
        seam: Seam | None = None,
        fault: Fault | None = None,
    ) -> SqliteStore:
        """Open the store at `path`, or make it. Raises StoreBroken, StoreFailed.

        `base` are the layers that it lies on, the topmost first. `durable=False` gives up safety against power
        loss for speed. `floor` is for a file that was restored or moved: no revision up to it is issued again,
        and everything below counts as compacted, so that clients with an older one list anew.
        """
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(executor, lambda: _open(path, base, durable, floor, fault))
        try:
            holding, overlay = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        except StoreError:
            raise
        except Exception as error:
            raise StoreFailed(f"{path} could not be opened: {error}") from error
        return cls(holding, overlay, executor, limits=limits, seam=seam)

    @property
    def path(self) -> Path:
        return self._holding.path

    @property
    def id(self) -> str:
        """The id that this overlay's layer will have when it is frozen."""
        return self._holding.id

    async def rest(self) -> None:
        """Release what an idle cluster does not need (the connection, about 130 KiB; the log): reading goes on.

        The next write opens the file again (half a millisecond). Watches below today's revision are compacted.
        """
        await self._writer.errand(
            lambda: self._committer.run(self._holding.rest, self._overlay.revision), lambda _: None
        )
        self._log.compact(self._log.revision)

    async def freeze(self, path: Path) -> Layer:
        """Turn the file into a layer and go on in a new file at `path` in the same directory, copying nothing.

        A fork is another store opened with ``base=store.layers``. Until `path` is durable the cluster is in the
        old file; the old file then names its successor, so a crash at any moment leaves one current file.
        """
        if path.parent != self.path.parent:
            raise ValueError(f"{path} must be in the directory of {self.path}")
        await self._writer.errand(
            lambda: self._committer.run(self._holding.freeze, path, self._overlay.revision),
            lambda id: self._overlay.freeze(id),
        )
        return self._overlay.layers[0]

    async def rebase(self, layers: Sequence[Layer]) -> None:
        """Stand on `layers`, which must read exactly as the present ones (see `layers.flatten`)."""
        await self._writer.errand(
            lambda: self._committer.run(self._holding.set_base, [layer.id for layer in layers]),
            lambda _: self._overlay.rebase(layers),
        )

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
            self._writer.close().add_done_callback(self._release)
        await asyncio.shield(self._closing)

    def _release(self, _: asyncio.Future[None]) -> None:
        self._committer.run(self._holding.close, self._overlay.revision).add_done_callback(self._released)

    def _released(self, job: asyncio.Future[None]) -> None:
        self._holding.release()
        self._log.close()
        if self._closing is not None:
            self._closing.set_result(None)
        error = job.exception()
        if error is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{self.path} was closed untidily; nothing is lost", "exception": error}
            )


def _open(
    path: Path, base: Sequence[Layer], durable: bool, floor: int, fault: Fault | None
) -> tuple[_Holding, Overlay]:
    lock = FileLock(path)
    try:
        ids = tuple(layer.id for layer in base)
        if not path.exists():
            create(path, FileInfo(new_id(), ids, max([floor, *(layer.revision for layer in base)])))
        file = StoreFile(path, durable=durable)
        try:
            info = file.info
            if info.frozen:
                goes_on = f"; its cluster goes on in {info.successor}" if info.successor else ""
                raise StoreBroken(f"{path} has been frozen into a layer{goes_on}")
            check_base(path, info, ids)
            content = file.load()
            if floor > max(content.revision, info.floor):
                file.set_info(dataclasses.replace(info, floor=floor))
        except BaseException:
            file.abandon()
            raise
        holding = _Holding(path, lock, file, durable, fault)
        overlay = Overlay(base, max(content.revision, file.info.floor))
        holding.needless = _fill(overlay, content)
        return holding, overlay
    except BaseException:
        lock.release()
        raise


def _fill(overlay: Overlay, content: Content) -> dict[Key, int]:
    """Load `content`; the tombstones that hide nothing are left out and returned."""
    needless = {key: revision for key, revision in content.tombstones.items() if not overlay.is_below(key)}
    entries: Iterable[tuple[Key, Entry | None]] = ((entry.key, entry) for entry in content.entries)
    maps: dict[str, dict[Key, Entry | None]] = {}
    for key, entry in entries:
        maps.setdefault(key.resource, {})[key] = entry
    for key in content.tombstones.keys() - needless.keys():
        maps.setdefault(key.resource, {})[key] = None
    overlay.load({resource: Table(content) for resource, content in maps.items()})
    return needless


def _close_unwanted(opening: asyncio.Future[tuple[_Holding, Overlay]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        holding, overlay = opening.result()
        holding.close(overlay.revision)
