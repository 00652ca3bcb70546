"""The embedded default: one SQLite file per cluster, on shared immutable layers.

Opening reads the file into the overlay; from then on memory serves all reading and the file takes commits. Closing
is *parking*: it releases everything. What blocks runs in the executor that is passed in, which all stores of a
process share.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from kloster.stores.api import Decision, Entry, Key, StoreBroken, StoreError, StoreFailed
from kloster.stores.broadcast import LogLimits
from kloster.stores.holding import Fault, FileCommitter, Holding
from kloster.stores.layerfile import check_base
from kloster.stores.layers import Layer, Stack, Table
from kloster.stores.local import LocalStore, Seam
from kloster.stores.locking import FileLock
from kloster.stores.rows import Content, rows_of
from kloster.stores.state import Overlay
from kloster.stores.storefile import FileInfo, StoreFile, create, new_id
from kloster.stores.writer import numbered


class SqliteStore(LocalStore):
    """A `Store` in the SQLite file `path`, over `base`. Use `open`."""

    def __init__(
        self,
        holding: Holding,
        overlay: Overlay,
        executor: Executor,
        *,
        limits: LogLimits | None = None,
        seam: Seam | None = None,
    ) -> None:
        self._holding = holding
        self._committer = FileCommitter(holding, overlay, executor)
        self._closing: asyncio.Future[None] | None = None
        super().__init__(overlay, self._committer, limits=limits, seam=seam)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        executor: Executor,
        base: Sequence[Layer] = (),
        replaced: Sequence[str] = (),
        durable: bool = True,
        floor: int = 0,
        first: Decision | None = None,
        limits: LogLimits | None = None,
        seam: Seam | None = None,
        fault: Fault | None = None,
    ) -> SqliteStore:
        """Open the store at `path`, or make it. Raises StoreBroken, StoreFailed.

        `base` are the layers that it lies on, the topmost first; they read exactly as those with the ids `replaced`,
        which the file may name still (see `rebase`). `durable=False` gives up safety against power
        loss for speed. `floor` is for a file that was restored or moved: no revision up to it is issued again,
        and everything below counts as compacted, so that clients with an older one list anew.
        `first` says what a file that is made now holds from the beginning; it is asked in a thread.
        """
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(executor, lambda: _open(path, base, replaced, durable, floor, first, fault))
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
    def unchanged(self) -> bool:
        """Whether the overlay says nothing that its layers do not say."""
        return next(self.own(), None) is None

    @property
    def id(self) -> str:
        """The id that this overlay's layer will have when it is frozen."""
        return self._holding.id

    async def rest(self) -> None:
        """Release what an idle cluster does not need (the connection and the log, about 200 KiB): reading goes on.

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
    path: Path,
    base: Sequence[Layer],
    replaced: Sequence[str],
    durable: bool,
    floor: int,
    first: Decision | None,
    fault: Fault | None,
) -> tuple[Holding, Overlay]:
    lock = FileLock(path)
    try:
        ids = tuple(layer.id for layer in base)
        if not path.exists():
            issued = max([floor, *(layer.revision for layer in base)])
            below = Stack([layer.tables for layer in base])
            events = [] if first is None else numbered(first(below), below, issued)
            create(path, FileInfo(new_id(), ids, issued), rows_of(events))
        file = StoreFile(path, durable=durable)
        try:
            info = file.info
            if info.frozen:
                goes_on = f"; its cluster goes on in {info.successor}" if info.successor else ""
                raise StoreBroken(f"{path} has been frozen into a layer{goes_on}")
            if replaced and info.base == tuple(replaced):
                file.set_info(dataclasses.replace(info, base=ids))
            check_base(path, file.info, ids)
            content = file.load()
            if floor > max(content.revision, info.floor):
                file.set_info(dataclasses.replace(file.info, floor=floor))
        except BaseException:
            file.abandon()
            raise
        holding = Holding(path, lock, file, durable, fault)
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


def _close_unwanted(opening: asyncio.Future[tuple[Holding, Overlay]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        holding, overlay = opening.result()
        holding.close(overlay.revision)
