"""Objects of a copied state as they must be in a fork, kind by kind: what was true of the source's life is taken out.

Pure functions. Each may change what it is given, and returns it, or `SAME` if nothing was to be changed.
"""

from __future__ import annotations

import orjson

from kloster.apimachinery import Object
from kloster.workloads.pods import is_deleting, is_terminal

SAME: Object = {}
LEADER = "control-plane.alpha.kubernetes.io/leader"
NONE_READY = {"readyReplicas": 0, "availableReplicas": 0, "numberReady": 0, "numberAvailable": 0}
OF_CLAIMS = (
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
)
SLICES_MANAGED_BY = ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io")


def without_leader(item: Object) -> Object:
    """Without the annotation by which clients elected a leader before there were Leases."""
    annotations = item["metadata"].get("annotations") or {}
    if LEADER not in annotations:
        return SAME
    try:
        held = orjson.loads(annotations[LEADER])
        annotations[LEADER] = orjson.dumps({**held, "holderIdentity": "", "leaseDurationSeconds": 1}).decode()
    except (ValueError, TypeError):
        del annotations[LEADER]
    return item


def secret(item: Object) -> Object:
    """A service-account token Secret without the source's token."""
    for name in ("token", "ca.crt"):
        (item.get("data") or {}).pop(name, None)
    return item


def pod(pod: Object) -> Object | None:
    """As it was before it was scheduled; None for one that was being deleted."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if is_terminal(pod) and not is_deleting(pod):
        return SAME
    if is_deleting(pod):
        if not metadata.get("finalizers"):
            return None
        metadata["deletionGracePeriodSeconds"] = 0  # nothing of it runs; it waits for its finalizers
    if not _chosen_node(pod):
        spec.pop("nodeName", None)
    spec.pop("ephemeralContainers", None)
    pod["status"] = {"phase": "Pending", **({"qosClass": status["qosClass"]} if "qosClass" in status else {})}
    if "managedFields" in metadata:
        metadata["managedFields"] = [one for one in metadata["managedFields"] if one.get("subresource") != "status"]
    return pod


def workload(workload: Object) -> Object:
    """No pod of it is ready."""
    status = workload.get("status") or {}
    if not any(status.get(field) for field in NONE_READY):
        return SAME
    status.update({field: none for field, none in NONE_READY.items() if field in status})
    if "desiredNumberScheduled" in status:
        status["numberUnavailable"] = status["desiredNumberScheduled"]
    for condition in status.get("conditions") or ():
        if condition["type"] == "Available":
            condition["status"], condition["reason"] = "False", "MinimumReplicasUnavailable"
            condition["message"] = "Deployment does not have minimum availability."
            status["unavailableReplicas"] = status.get("replicas", 0)
    return workload


def _chosen_node(pod: Object) -> bool:
    """Whether whoever wrote the pod chose its node: binding, as a scheduler does it, leaves no owner of the field."""
    return any(
        "f:nodeName" in ((one.get("fieldsV1") or {}).get("f:spec") or {})
        for one in pod["metadata"].get("managedFields") or ()
    )


def claim(claim: Object) -> Object:
    """As it was before it was bound."""
    claim["spec"].pop("volumeName", None)
    claim["status"] = {"phase": "Pending"}
    annotations = claim["metadata"].get("annotations") or {}
    for name in OF_CLAIMS:
        annotations.pop(name, None)
    return claim


def service(service: Object) -> Object:
    """Without the source's load balancer."""
    if not ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return SAME
    service["status"]["loadBalancer"] = {}
    return service


def endpoint_slice(item: Object) -> Object:
    """Without the addresses of the source's pods, if they were found by the controller."""
    label, manager = SLICES_MANAGED_BY
    if (item["metadata"].get("labels") or {}).get(label) != manager or not item.get("endpoints"):
        return SAME
    item["endpoints"] = []
    return item


def lease(lease: Object) -> Object:
    """As a leader releases it, so that the next who asks has it at once."""
    spec = lease.get("spec") or {}
    if not spec.get("holderIdentity"):
        return SAME
    spec["holderIdentity"], spec["leaseDurationSeconds"] = "", 1
    return lease
