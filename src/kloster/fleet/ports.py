"""Which cluster has which port, remembered, so that yesterday's kubeconfig works after a restart.

Ports come from below Linux's ephemeral range (32768 and up), where no outgoing connection can take them. Where a
fleet begins in the range follows from where its table is kept, so that two fleets of one machine do not take each
other's ports while one of them is down. A port that somebody else uses when a cluster is created is passed over; one
that is taken when a known cluster starts is an error, because its users have it in their files.
"""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from kloster.fleet.datadir import DataDirError, read_json, write_json

FIRST = 20000
LAST = 32000


class NoPort(Exception):
    """All ports of the range are given away."""


def beginning(path: Path) -> int:
    """The first port of the fleet whose table is at `path`: one of a hundred places in the range."""
    return FIRST + (LAST - FIRST) // 100 * (zlib.crc32(str(path).encode()) % 100)


@dataclass(slots=True)
class Ports:
    """The table: who has which port. Owners are cluster IDs and names for what else listens."""

    path: Path
    first: int = FIRST
    last: int = LAST
    _table: dict[str, int] = field(default_factory=dict)
    _newest: int = 0
    _changes: int = 0
    _durable: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def load(cls, path: Path) -> Ports:
        """Raises DataDirError if the file is damaged."""
        data = read_json(path)
        if data is None:
            return cls(path, _newest=beginning(path) - 1)
        try:
            table = {str(owner): int(port) for owner, port in data["ports"].items()}
            return cls(path, _table=table, _newest=int(data["newest"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataDirError(
                f"{path} is damaged ({type(error).__name__}: {error}); restore it from a backup"
            ) from error

    def get(self, owner: str) -> int | None:
        return self._table.get(owner)

    def candidates(self) -> Iterator[int]:
        """Ports that are not given away, in the order in which to try them: those first that were never used, so that
        an old kubeconfig does not reach another cluster soon. Raises NoPort if there is none."""
        taken = set(self._table.values())
        if all(port in taken for port in range(self.first, self.last + 1)):
            raise NoPort(f"all ports from {self.first} to {self.last} are given away; delete clusters")
        start = max(self.first, self._newest + 1)
        order = itertools.chain(range(start, self.last + 1), range(self.first, min(start, self.last + 1)))
        return (port for port in order if port not in taken)

    def assign(self, owner: str, port: int) -> None:
        """From now on the port is the owner's; `saved` makes that durable."""
        self._table[owner] = port
        if self.first <= port <= self.last:
            self._newest = port
        self._changes += 1

    def release(self, owner: str) -> None:
        if self._table.pop(owner, None) is not None:
            self._changes += 1

    async def saved(self, executor: Executor) -> None:
        """Wait until every change so far is durable. Those who wait at the same time share one write."""
        wanted = self._changes
        async with self._lock:
            if self._durable < wanted:
                changes, content = self._changes, {"ports": dict(self._table), "newest": self._newest}
                await asyncio.get_running_loop().run_in_executor(executor, write_json, self.path, content)
                self._durable = changes
