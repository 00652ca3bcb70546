"""Which layer files are needed: who stands on them. A file on which nobody stands any more is deleted.

The counts are not stored: they follow from the clusters' records, which say what each stands on. They are read once, at
the first use after a start, when also goes what a crash left without anybody who needs it. Templates stay: new clusters
stand on them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from kloster.fleet import record
from kloster.fleet.datadir import DataDir, DataDirError

log = structlog.get_logger(__name__)

TEMPLATE = "template-"


@dataclass(slots=True)
class LayerFiles:
    """The counts, by cluster ID. One for a fleet, in its main process."""

    directory: DataDir
    executor: Executor
    _needs: dict[str, frozenset[str]] = field(default_factory=dict)
    _free: set[str] = field(default_factory=set)
    _forking: int = 0
    _known: bool = False
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> None:
        """Read all records, once; delete files that nobody needs. Everything else here comes after that."""
        async with self._lock:
            if not self._known:
                loop = asyncio.get_running_loop()
                self._needs = {**await loop.run_in_executor(self.executor, _look, self.directory), **self._needs}
                self._known = True

    def set(self, id: str, layers: Collection[str]) -> None:
        """From now on the cluster needs these, and no others."""
        before = self._needs.get(id, frozenset())
        self._needs[id] = frozenset(layers)
        self._free |= before - self._needs[id]

    def remove(self, id: str) -> None:
        """The cluster is gone."""
        self._free |= self._needs.pop(id, frozenset())

    @contextlib.contextmanager
    def forking(self) -> Iterator[None]:
        """While a fork is being made nothing is deleted: it stands on layers that only its source's record names."""
        self._forking += 1
        try:
            yield
        finally:
            self._forking -= 1

    async def tidy(self) -> None:
        """Delete the files of layers that have become free."""
        if self._forking or not self._free:
            return
        needed = frozenset().union(*self._needs.values())
        free, self._free = [id for id in self._free if id not in needed and not id.startswith(TEMPLATE)], set()
        if free:
            paths = [self.directory.layers / f"{id}.db" for id in free]
            await asyncio.get_running_loop().run_in_executor(self.executor, _delete, paths)


def _look(directory: DataDir) -> dict[str, frozenset[str]]:
    needs: dict[str, frozenset[str]] = {}
    try:
        for path in (directory.root / "clusters").iterdir():
            needs[path.name] = record.needed(path)
    except DataDirError as error:
        log.warning("layers that nobody needs are kept, because a record cannot be read", error=str(error))
        return needs
    needed = frozenset().union(*needs.values())
    _delete(
        [
            path
            for path in directory.layers.iterdir()
            if not path.name.startswith(TEMPLATE) and path.name.removesuffix(".db") not in needed
        ]
    )
    return needs


def _delete(paths: Collection[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        log.info("layer deleted", layer=path.stem)
