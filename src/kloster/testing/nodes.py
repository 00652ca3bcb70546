"""Nodes that are lost: nothing is heard of them any longer, and they hear nothing.

    cluster.nodes.lose("node-1")
    cluster.clock.advance("6m")      # its pods are evicted when their tolerationSeconds are over
    cluster.nodes.recover("node-1")

A node is lost for this cluster alone. After 50 seconds of the cluster's time (40 in 1.31) its conditions become Unknown
and its pods not ready, it is tainted with ``node.kubernetes.io/unreachable``, and pods that do not tolerate that (any
longer) are deleted; they stay Terminating until the node is there again, or they are deleted by force. New pods go to
other nodes, or wait.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from kloster.testing.clock import Clock
from kloster.testing.resources import bare
from kloster.workloads.lostnodes import LOST
from kloster.workloads.pods import is_ready


class Cluster(Protocol):
    """Whose view of the nodes it is."""

    clock: Clock

    def patch(self, resource: str, name: str, body: Any) -> dict[str, Any]: ...

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> Any: ...

    def wait_for(self, condition: Callable[[], Any]) -> Any: ...


class Nodes:
    """The nodes on which a cluster's pods run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def lose(self, node: str) -> None:
        """From now on nothing is heard of it. Raises StatusError 404 if none of the cluster's pods runs there."""
        now = self._cluster.clock.now().astimezone(UTC)
        self._write(bare("node", node), _shown(now))

    def recover(self, node: str) -> None:
        """It is there again. Returns when the cluster has seen that; none of its pods may be there any longer."""
        node = bare("node", node)
        self._write(node, None)
        self._cluster.wait_for(lambda: self._is_back(node))

    def _is_back(self, node: str) -> bool:
        found = self._cluster.request("GET", "/api/v1/nodes", fieldSelector=f"metadata.name={node}")["items"]
        return all(is_ready(one) for one in found)

    def _write(self, node: str, since: str | None) -> None:
        self._cluster.patch("node", node, {"metadata": {"annotations": {LOST: since}}})


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
