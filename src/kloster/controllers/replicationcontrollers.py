"""replicationcontroller-controller: the older form of a ReplicaSet, whose selector is a plain map.

https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/
"""

from __future__ import annotations

from kloster.client.resources import PODS, REPLICATION_CONTROLLERS
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import ownership, replicas


async def reconcile(context: Context, key: Key) -> Result | None:
    return await replicas.reconcile(context, key, REPLICATION_CONTROLLERS)


CONTROLLER = Controller(
    "replicationcontroller-controller",
    (
        Watch(REPLICATION_CONTROLLERS),
        Watch(PODS, lookup=ownership.keys_of_claimants(REPLICATION_CONTROLLERS)),
    ),
    reconcile,
    component="replication-controller",
)
