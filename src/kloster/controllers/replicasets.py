"""replicaset-controller: as many pods as spec.replicas says.

Pods are claimed by selector and owner. Too few: pods are created from the template; too many: those go first that are
missed least (`workloads.pods.first_to_go`). The status counts what there is.
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

from kloster.client.resources import PODS, REPLICA_SETS
from kloster.runtime.api import Controller, Watch
from kloster.workloads import ownership
from kloster.workloads.replicas import reconciler

CONTROLLER = Controller(
    "replicaset-controller",
    (
        Watch(REPLICA_SETS),
        Watch(PODS, lookup=ownership.keys_of_claimants(REPLICA_SETS)),
    ),
    reconciler(REPLICA_SETS),
)
