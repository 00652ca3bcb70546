"""Which cluster has which port, remembered, so that yesterday's kubeconfig works after a restart.

Ports come from below Linux's ephemeral range (32768 and up), where no outgoing connection can take them. A port that
somebody else uses when a cluster is created is passed over; one that is taken when a known cluster starts is an
error, because its users have it in their files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kloster.fleet.datadir import read_json, write_json

FIRST = 20000
LAST = 32000


class NoPort(Exception):
    """All ports of the range are given away."""


@dataclass(slots=True)
class Ports:
    """The table. `host` is the key of the host cluster; others are cluster IDs."""

    path: Path
    first: int = FIRST
    last: int = LAST
    _table: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Ports:
        return cls(path, _table={str(key): int(port) for key, port in (read_json(path) or {}).items()})

    def get(self, cluster: str) -> int | None:
        return self._table.get(cluster)

    def candidates(self) -> list[int]:
        """Ports that are not given away, in the order in which to try them."""
        taken = set(self._table.values())
        start = max(taken, default=self.first - 1) + 1
        order = [*range(start, self.last + 1), *range(self.first, min(start, self.last + 1))]
        free = [port for port in order if port not in taken]
        if not free:
            raise NoPort(f"all ports from {self.first} to {self.last} are given away; delete clusters")
        return free

    def assign(self, cluster: str, port: int) -> None:
        """Remember durably."""
        self._table[cluster] = port
        write_json(self.path, self._table)

    def release(self, cluster: str) -> None:
        if self._table.pop(cluster, None) is not None:
            write_json(self.path, self._table)
