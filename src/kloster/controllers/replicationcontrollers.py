"""replicationcontroller-controller: the older form of a ReplicaSet, whose selector is a plain map.

https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/
"""

from __future__ import annotations

from kloster.client.resources import PODS, REPLICATION_CONTROLLERS
from kloster.runtime.api import Controller, Watch
from kloster.workloads import ownership
from kloster.workloads.replicas import reconciler

CONTROLLER = Controller(
    "replicationcontroller-controller",
    (
        Watch(REPLICATION_CONTROLLERS),
        Watch(PODS, lookup=ownership.keys_of_claimants(REPLICATION_CONTROLLERS)),
    ),
    reconciler(REPLICATION_CONTROLLERS),
    component="replication-controller",
)
