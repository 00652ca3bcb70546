"""Which worker has which cluster: decided once, for the one with the fewest, and remembered."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from kloster.fleet.datadir import DataDirError, read_json, write_json


@dataclass(slots=True)
class Assignments:
    """The table. Workers are numbers below `count`."""

    path: Path
    count: int
    _table: dict[str, int] = field(default_factory=dict)
    _changes: int = 0
    _durable: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def load(cls, path: Path, count: int) -> Assignments:
        """Clusters of workers that there are no longer are given out anew. Raises DataDirError for a damaged file."""
        data = read_json(path)
        try:
            table = {} if data is None else {str(id): int(number) for id, number in data.items()}
        except (AttributeError, TypeError, ValueError) as error:
            text = f"{path} is damaged ({error}); remove it: clusters are then given to workers anew"
            raise DataDirError(text) from error
        return cls(path, count, {id: number for id, number in table.items() if 0 <= number < count})

    def of(self, id: str) -> int:
        """The cluster's worker. `saved` makes a new decision durable."""
        if id not in self._table:
            loads = Counter(self._table.values())
            self._table[id] = min(range(self.count), key=lambda number: (loads[number], number))
            self._changes += 1
        return self._table[id]

    def ids(self, number: int) -> list[str]:
        """The clusters of a worker."""
        return [id for id, assigned in self._table.items() if assigned == number]

    def remove(self, id: str) -> None:
        if self._table.pop(id, None) is not None:
            self._changes += 1

    async def saved(self, executor: Executor) -> None:
        """Wait until every decision so far is durable. Those who wait at the same time share one write."""
        wanted = self._changes
        async with self._lock:
            if self._durable < wanted:
                changes, table = self._changes, dict(self._table)
                await asyncio.get_running_loop().run_in_executor(executor, write_json, self.path, table)
                self._durable = changes
