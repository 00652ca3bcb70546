"""replicaset-controller: as many pods as spec.replicas says.

Pods are claimed by selector and owner. Too few: pods are created from the template; too many: those go first that are
missed least (`workloads.pods.first_to_go`). The status counts what there is.
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

from kloster.client.resources import PODS, REPLICA_SETS
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import ownership, replicas


async def reconcile(context: Context, key: Key) -> Result | None:
    return await replicas.reconcile(context, key, REPLICA_SETS)


CONTROLLER = Controller(
    "replicaset-controller",
    (
        Watch(REPLICA_SETS),
        Watch(PODS, lookup=ownership.keys_of_claimants(REPLICA_SETS)),
    ),
    reconcile,
)
