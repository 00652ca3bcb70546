"""Which cluster has which port, remembered, so that yesterday's kubeconfig works after a restart.

Ports come from below Linux's ephemeral range (32768 and up), where no outgoing connection can take them. Where a
fleet begins in the range follows from where its table is kept, so that two fleets of one machine do not take each
other's ports while one of them is down. A port that somebody else uses when a cluster is created is passed over; one
that is taken when a known cluster starts is an error, because its users have it in their files.
"""

from __future__ import annotations

import zlib
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

    def candidates(self) -> list[int]:
        """Ports that are not given away, in the order in which to try them: those first that were never used, so that
        an old kubeconfig does not reach another cluster soon."""
        taken = set(self._table.values())
        start = max(self.first, self._newest + 1)
        order = [*range(start, self.last + 1), *range(self.first, min(start, self.last + 1))]
        free = [port for port in order if port not in taken]
        if not free:
            raise NoPort(f"all ports from {self.first} to {self.last} are given away; delete clusters")
        return free

    def assign(self, owner: str, port: int) -> None:
        """Remember durably."""
        self._table[owner] = port
        if self.first <= port <= self.last:
            self._newest = port
        self._save()

    def release(self, owner: str) -> None:
        if self._table.pop(owner, None) is not None:
            self._save()

    def _save(self) -> None:
        write_json(self.path, {"ports": self._table, "newest": self._newest})
