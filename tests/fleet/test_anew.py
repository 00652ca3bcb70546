"""What is taken out of objects when a state becomes a fork's: table cases for each kind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from kloster.apimachinery import Object
from kloster.fleet import anew

LEADER = anew.LEADER
DELETED = "2026-11-25T00:00:00Z"
BOUND: Object = {"nodeName": "node-1", "containers": [{"name": "main"}]}
RUNNING: Object = {"phase": "Running", "podIP": "10.1.1.1", "qosClass": "Burstable", "startTime": DELETED}
PENDING: Object = {"phase": "Pending", "qosClass": "Burstable"}


def pod(status: Object, spec: Object = BOUND, **metadata: Any) -> Object:
    return {"metadata": metadata, "spec": spec, "status": status}


PODS = [
    pytest.param(pod(RUNNING), pod(PENDING, {"containers": [{"name": "main"}]}), id="running"),
    pytest.param(pod({"phase": "Succeeded"}), anew.SAME, id="ended-well"),
    pytest.param(pod({"phase": "Failed"}), anew.SAME, id="ended-badly"),
    pytest.param(pod(RUNNING, deletionTimestamp=DELETED, deletionGracePeriodSeconds=30), None, id="being-deleted"),
    pytest.param(
        pod(RUNNING, deletionTimestamp=DELETED, deletionGracePeriodSeconds=30, finalizers=["a/b"]),
        pod(
            PENDING,
            {"containers": [{"name": "main"}]},
            deletionTimestamp=DELETED,
            deletionGracePeriodSeconds=0,
            finalizers=["a/b"],
        ),
        id="being-deleted-with-finalizers",
    ),
    pytest.param(
        pod(
            RUNNING,
            managedFields=[
                {"manager": "me", "fieldsV1": {"f:spec": {"f:nodeName": {}}}},
                {"manager": "kubelet", "subresource": "status", "fieldsV1": {"f:status": {}}},
            ],
        ),
        pod(PENDING, managedFields=[{"manager": "me", "fieldsV1": {"f:spec": {"f:nodeName": {}}}}]),
        id="on-a-node-that-its-author-chose",
    ),
    pytest.param(
        pod(RUNNING, {**BOUND, "ephemeralContainers": [{"name": "debug"}]}),
        pod(PENDING, {"containers": [{"name": "main"}]}),
        id="with-a-debugger",
    ),
]


@pytest.mark.parametrize(("before", "after"), PODS)
def test_pods(before: Object, after: Object | None) -> None:
    assert anew.pod(copy.deepcopy(before)) == after


OTHERS = [
    pytest.param(
        anew.claim,
        {
            "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes", "mine": "1"}},
            "spec": {"volumeName": "pv", "storageClassName": "fast"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        },
        {
            "metadata": {"annotations": {"mine": "1"}},
            "spec": {"storageClassName": "fast"},
            "status": {"phase": "Pending"},
        },
        id="claim",
    ),
    pytest.param(
        anew.lease,
        {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 2}},
        {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 2}},
        id="lease",
    ),
    pytest.param(anew.lease, {"spec": {"holderIdentity": ""}}, anew.SAME, id="lease-without-holder"),
    pytest.param(anew.lease, {}, anew.SAME, id="lease-without-spec"),
    pytest.param(
        anew.without_leader,
        {"metadata": {"annotations": {LEADER: "no json"}}},
        {"metadata": {"annotations": {}}},
        id="leader-that-cannot-be-read",
    ),
    pytest.param(
        anew.without_leader,
        {"metadata": {"annotations": {LEADER: "[1]"}}},
        {"metadata": {"annotations": {}}},
        id="leader-that-is-a-list",
    ),
    pytest.param(anew.without_leader, {"metadata": {}}, anew.SAME, id="no-leader"),
    pytest.param(
        anew.service,
        {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}},
        {"status": {"loadBalancer": {}}},
        id="load-balancer",
    ),
    pytest.param(anew.service, {"status": {"loadBalancer": {}}}, anew.SAME, id="service"),
    pytest.param(
        anew.endpoint_slice,
        {"metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": "me"}}, "endpoints": [{}]},
        anew.SAME,
        id="slice-made-by-hand",
    ),
    pytest.param(
        anew.secret,
        {"data": {"token": "a", "ca.crt": "b", "namespace": "c"}},
        {"data": {"namespace": "c"}},
        id="token",
    ),
    pytest.param(
        anew.workload,
        {"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 2}},
        {"status": {"replicas": 2, "readyReplicas": 0, "availableReplicas": 0, "updatedReplicas": 2}},
        id="replica-set",
    ),
    pytest.param(
        anew.workload,
        {"status": {"desiredNumberScheduled": 3, "numberReady": 3, "numberAvailable": 3}},
        {"status": {"desiredNumberScheduled": 3, "numberReady": 0, "numberAvailable": 0, "numberUnavailable": 3}},
        id="daemon-set",
    ),
    pytest.param(
        anew.workload,
        {
            "status": {
                "replicas": 1,
                "availableReplicas": 1,
                "conditions": [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "True"}],
            }
        },
        {
            "status": {
                "replicas": 1,
                "availableReplicas": 0,
                "unavailableReplicas": 1,
                "conditions": [
                    {"type": "Progressing", "status": "True"},
                    {
                        "type": "Available",
                        "status": "False",
                        "reason": "MinimumReplicasUnavailable",
                        "message": "Deployment does not have minimum availability.",
                    },
                ],
            }
        },
        id="deployment",
    ),
    pytest.param(anew.workload, {"status": {"replicas": 0}}, anew.SAME, id="scaled-away"),
]


@pytest.mark.parametrize(("change", "before", "after"), OTHERS)
def test_other_kinds(change: Callable[[Object], Object], before: Object, after: Object) -> None:
    assert change(copy.deepcopy(before)) == after
