"""The clusters of one run of pytest: one fleet for all its processes, prepared once, a cluster for each test."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path

from kloster.testing.cluster import Cluster
from kloster.testing.fleets import Fleet

Prepare = Callable[[Cluster], object] | None


class Session:
    """The fleet of a test run, found through its folder by all processes of the run."""

    def __init__(self, root: Path, nodes: int = 1) -> None:
        self.fleet = Fleet(root, nodes=nodes)
        self._prepared: dict[tuple[str, Prepare], Cluster] = {}
        self._spares: dict[tuple[str, Prepare], Cluster] = {}

    def close(self) -> None:
        self.fleet.close()

    def cluster(self, version: str, prepare: Prepare) -> Cluster:
        """A new cluster, as `prepare` leaves it: a fork of the one that was prepared.

        The next one like it is made while the test runs that gets this one.
        """
        spare = self._spares.pop((version, prepare), None) or self._new(version, prepare)
        cluster = spare.start()
        self._spares[version, prepare] = self._new(version, prepare).begin()
        return cluster

    def _new(self, version: str, prepare: Prepare) -> Cluster:
        if prepare is None:
            return Cluster(version, fleet=self.fleet)
        prepared = self._prepared.get((version, prepare))
        if prepared is None:
            prepared = self._prepared[version, prepare] = self._prepare(version, prepare)
        return prepared.fork()

    def _prepare(self, version: str, prepare: Callable[[Cluster], object]) -> Cluster:
        """The prepared cluster: made by the process that needs it first, while the others of the run wait for it."""
        key = f"{version} {prepare.__module__} {getattr(prepare, '__qualname__', prepare)}"
        path = self.fleet.root / f"prepared-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        with path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            name = file.read()
            if name:
                return Cluster(version, name=name, fleet=self.fleet).join()
            cluster = Cluster(version, name="prepared-*", fleet=self.fleet).start()
            try:
                prepare(cluster)
            except BaseException:
                cluster.close()
                raise
            file.write(cluster.name)
            return cluster
