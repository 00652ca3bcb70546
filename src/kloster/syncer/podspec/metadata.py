"""A host pod's metadata, and the way back of its status."""

from __future__ import annotations

from typing import Any

import orjson

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.syncer import texts
from kloster.syncer.names import (
    ANNOTATIONS,
    CLUSTER,
    LABELS,
    NAMESPACE,
    SERVICE_ACCOUNT,
    TENANT_LABEL_PREFIX,
    Tenancy,
)

BUILT_IN_CONDITIONS = frozenset(
    {
        "AllContainersRestarting",
        "ContainersReady",
        "DisruptionTarget",
        "Initialized",
        "PodReadyToStartContainers",
        "PodResizeInProgress",
        "PodResizePending",
        "PodScheduled",
        "Ready",
    }
)
CONDITION_FIELDS = ("type", "status", "lastProbeTime", "lastTransitionTime", "reason", "message")
STARTING = ("ContainerCreating", "PodInitializing")
NOT_SHOWN = ("nominatedNodeName", "observedGeneration")
IMAGES = "kloster.dev/images"
RESOURCES = "kloster.dev/resources"
REFUSED = "SyncRefused"
# Annotations that tell simulated nodes how a pod behaves; harmless elsewhere.
PASSED = ("simulated.kloster.dev/run-seconds", "simulated.kloster.dev/exit-code", "simulated.kloster.dev/fault")


def pod(tenancy: Tenancy, virtual: Object) -> Object:
    """Metadata of the host pod. Labels and annotations of the tenant travel as text for the downward API."""
    identity = tenancy.identity("Pod", virtual)
    annotations = identity["annotations"]
    metadata = virtual["metadata"]
    annotations[SERVICE_ACCOUNT] = virtual["spec"].get("serviceAccountName") or "default"
    annotations[LABELS] = _downward_text(metadata.get("labels") or {})
    annotations[ANNOTATIONS] = _downward_text(metadata.get("annotations") or {})
    annotations[IMAGES] = orjson.dumps({one["name"]: one.get("image", "") for one in all_containers(virtual)}).decode()
    asked = resources(virtual)
    if asked:
        annotations[RESOURCES] = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode()
    for name in PASSED:
        if name in (metadata.get("annotations") or {}):
            annotations[name] = metadata["annotations"][name]
    return identity


def all_containers(pod: Object) -> list[Object]:
    """Containers and init containers: their names are different from each other."""
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def _downward_text(values: dict[str, str]) -> str:
    """As the kubelet writes labels and annotations into files: ``key="value"`` lines, sorted."""
    return "\n".join(f"{key}={orjson.dumps(values[key]).decode()}" for key in sorted(values))


def ours(key: str) -> bool:
    """Whether a label or annotation key on the host is one that only we write."""
    return key.startswith(TENANT_LABEL_PREFIX) or key in (
        CLUSTER,
        NAMESPACE,
        LABELS,
        ANNOTATIONS,
        IMAGES,
        RESOURCES,
        *PASSED,
    )


def resources(virtual: Object) -> dict[str, Object]:
    """The resources that containers ask for, by container."""
    return {one["name"]: one["resources"] for one in all_containers(virtual) if one.get("resources")}


def synced(host: Object, annotation: str) -> dict[str, Any]:
    """What we sent, by container (`IMAGES`, `RESOURCES`): the host's webhooks may have replaced it since."""
    text = (host["metadata"].get("annotations") or {}).get(annotation)
    if not text:
        return {}
    try:
        found = orjson.loads(text)
    except ValueError:
        return {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def gates(virtual: Object) -> frozenset[str]:
    """The types of the conditions that the tenant's own controllers set: readiness gates, unless they are called like
    a condition of the kubelet's or the scheduler's."""
    listed = virtual["spec"].get("readinessGates") or ()
    return frozenset(one["conditionType"] for one in listed) - BUILT_IN_CONDITIONS


def status(tenancy: Tenancy, virtual: Object, host: Object) -> Object:
    """The virtual pod's status: the host's, with conditions that the tenant's own controllers set kept."""
    found: Object = dict(host.get("status", {}))
    for name in NOT_SHOWN:
        found.pop(name, None)
    old = virtual.get("status", {})
    if "qosClass" in old:
        found["qosClass"] = old["qosClass"]  # follows from the spec and never changes
    own = gates(virtual)
    conditions = [_condition(one) for one in found.get("conditions") or () if one["type"] not in own]
    present = {one["type"] for one in conditions}
    kept = [one for one in old.get("conditions") or () if one["type"] not in present and one.get("reason") != REFUSED]
    if conditions or kept:
        found["conditions"] = conditions + kept
    cleaned: Object = texts.clean_all(found, texts.names(tenancy, virtual, host))
    return cleaned


def is_passing(virtual: Object, host: Object) -> bool:
    """Whether the pod is on its way from the scheduler to running, with nothing to report: each such state lasts for
    milliseconds where images are present."""
    status = host.get("status") or {}
    if status.get("phase") != "Pending" or host["metadata"].get("deletionTimestamp"):
        return False
    if virtual["metadata"].get("deletionTimestamp") or (virtual.get("status") or {}).get("phase") != "Pending":
        return False
    if any(one["type"] == "PodScheduled" and one["status"] != "True" for one in status.get("conditions") or ()):
        return False
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return all(_undisturbed(one.get("state") or {}) for one in containers)


def _undisturbed(state: Object) -> bool:
    waiting = state.get("waiting")
    if waiting is not None:
        return waiting.get("reason") in STARTING and not waiting.get("message")
    return "terminated" not in state or state["terminated"].get("exitCode") == 0


def gate_conditions(virtual: Object, host: Object) -> list[Object]:
    """A strategic merge patch of the host pod's conditions that carries the readiness gates down; empty if all is
    well."""
    own = gates(virtual)
    if not own:
        return []
    wanted = _by_type(virtual, own)
    live = _by_type(host, own)
    changed = [one for type, one in wanted.items() if live.get(type) != one]
    return changed + [{"type": type, "$patch": "delete"} for type in live if type not in wanted]


def _by_type(pod: Object, types: frozenset[str]) -> dict[str, Object]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return {
        one["type"]: {field: one[field] for field in CONDITION_FIELDS if one.get(field) is not None}
        for one in conditions
        if one["type"] in types
    }


def _condition(condition: Object) -> Object:
    return {key: value for key, value in condition.items() if key != "observedGeneration"}


def refusal(virtual: Object, message: str, now: float) -> Object | None:
    """The PodScheduled condition that says why the pod does not run; None if it is there already."""
    for one in virtual.get("status", {}).get("conditions") or ():
        if one["type"] == "PodScheduled" and one.get("reason") == REFUSED and one.get("message") == message:
            return None
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": REFUSED,
        "message": message,
        "lastTransitionTime": rfc3339(now),
    }
