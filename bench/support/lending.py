"""Clusters for tests, from `kloster.testing`: further ones of a fleet that runs, new or forked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from kloster.apimachinery.errors import StatusError
from kloster.client.blocking import Blocking
from kloster.testing.cluster import Cluster
from kloster.testing.fleets import Fleet
from support import prepared, processes

VIRTUAL_CLUSTERS = "/apis/kloster.dev/v1alpha1/namespaces/default/virtualclusters"
GONE = 30.0


class Lender(Protocol):
    """Somebody who lends clusters, one or several at a time. Where the block ends, the cluster has gone."""

    name: str

    def lend(self) -> AbstractContextManager[Blocking]:
        """A cluster of one's own, for its administrator."""
        ...

    def pids(self) -> tuple[int, ...]:
        """The processes that serve what is lent now."""
        ...

    def cpu_seconds(self) -> float:
        """Processor time of all servers so far."""
        ...


class Created:
    """Each cluster is new and empty."""

    name = "kloster, created"

    def __init__(self, fleet: Fleet, version: str) -> None:
        self._fleet, self._version = fleet, version
        with self.lend():
            pass  # the first of a version loads what all of them share

    def pids(self) -> tuple[int, ...]:
        return (self._fleet.pid, *processes.children(self._fleet.pid))

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(self.pids())

    @contextmanager
    def lend(self) -> Iterator[Blocking]:
        cluster = self._cluster()
        with cluster:
            api = Blocking(cluster.kubeconfig_dict, "bench")
            yield api
            api.close()
        _wait_gone(self._fleet, cluster.name)

    def _cluster(self) -> Cluster:
        return Cluster(self._version, fleet=self._fleet)


class Forked(Created):
    """Each cluster is a fork of one that has been prepared (`prepared`)."""

    name = "kloster, forked"

    def __init__(self, fleet: Fleet, version: str) -> None:
        self._source = Cluster(version, fleet=fleet).start()
        prepared.prepare(self._source)
        super().__init__(fleet, version)

    def _cluster(self) -> Cluster:
        return self._source.fork()


def _wait_gone(fleet: Fleet, name: str) -> None:
    ends = time.monotonic() + GONE
    while time.monotonic() < ends:
        try:
            fleet.request("GET", f"{VIRTUAL_CLUSTERS}/{name}")
        except StatusError as error:
            if error.code == 404:
                return
            raise
        time.sleep(0.02)
    raise TimeoutError(f"{name} is still there after {GONE:.0f} s")
