"""Fields of features that a minor version has but does not switch on: they are dropped from what is written.

Unless the stored object uses the feature already: then it goes on to. Features that upstream drops by more than a
path stand beside their kinds (`podspec.disabled`). A path: ``[]`` are the items of a list, ``{}`` the values of a map.
Source: https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds.podspec import disabled
from kloster.kinds.strategy import Strategy

_NEVER = 999


@dataclass(frozen=True, slots=True)
class Gate:
    """`since`: from which 1.N on the feature is switched on. `paths`: what belongs to it."""

    since: int
    paths: tuple[str, ...]


def _in_requests(*names: str) -> tuple[str, ...]:
    requests = ("devices.requests[].exactly", "devices.requests[].firstAvailable[]")
    return tuple(f"{request}.{name}" for request in requests for name in names)


def _below(prefix: str, *gates: Gate) -> tuple[Gate, ...]:
    return tuple(Gate(gate.since, tuple(f"{prefix}.{path}" for path in gate.paths)) for gate in gates)


_CLAIM = (
    Gate(34, ("devices.requests[].firstAvailable",)),  # DRAPrioritizedList
    Gate(36, _in_requests("capacity")),  # DRAConsumableCapacity
)
_PLACED = "spec.devices[]"
_SLICE = (
    Gate(36, (f"{_PLACED}.taints",)),  # DRADeviceTaints
    Gate(  # DRAPartitionableDevices
        36,
        (
            "spec.sharedCounters",
            "spec.perDeviceNodeSelection",
            *(f"{_PLACED}.{name}" for name in ("consumesCounters", "nodeName", "nodeSelector", "allNodes")),
        ),
    ),
    Gate(  # DRADeviceBindingConditions
        36, tuple(f"{_PLACED}.{name}" for name in ("bindingConditions", "bindingFailureConditions", "bindsToNode"))
    ),
    Gate(36, (f"{_PLACED}.allowMultipleAllocations", f"{_PLACED}.capacity{{}}.requestPolicy")),  # DRAConsumableCapacity
)
_CONTAINERS = ("containers[]", "initContainers[]", "ephemeralContainers[]")
_POD_SPEC = (
    Gate(37, ("volumes[].projected.sources[].clusterTrustBundle",)),  # ClusterTrustBundleProjection
    Gate(37, ("volumes[].projected.sources[].podCertificate",)),  # PodCertificateRequest
    Gate(35, ("hostnameOverride",)),  # HostnameOverride
    Gate(35, tuple(f"{each}.env[].valueFrom.fileKeyRef" for each in _CONTAINERS)),  # EnvFiles
)
_CLAIM_STATUS = (
    Gate(  # DRAConsumableCapacity
        36, (*(f"status.allocation.devices.results[].{name}" for name in ("shareID", "consumedCapacity")),)
    ),
    Gate(36, ("status.devices[].shareID",)),
    Gate(  # DRADeviceBindingConditions
        36,
        (
            "status.allocation.allocationTimestamp",
            "status.allocation.devices.results[].bindingConditions",
            "status.allocation.devices.results[].bindingFailureConditions",
        ),
    ),
)
_HEALTH = tuple(  # ResourceHealthStatus
    f"status.{name}[].allocatedResourcesStatus"
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
)
_TEMPLATED = (
    "/replicationcontrollers",
    "apps/daemonsets",
    "apps/deployments",
    "apps/replicasets",
    "apps/statefulsets",
    "batch/jobs",
)
# Where the specs of pods are.
_PODS = {
    "/pods": "spec",
    "/podtemplates": "template.spec",
    **dict.fromkeys(_TEMPLATED, "spec.template.spec"),
    "batch/cronjobs": "spec.jobTemplate.spec.template.spec",
}
_POD_DROPS: tuple[tuple[int, Callable[[Object, Object | None], None]], ...] = (
    (35, disabled.drop_image_volumes),
    (_NEVER, disabled.drop_stop_signals),
)
_GATES: dict[str, tuple[Gate, ...]] = {
    **{name: _below(path, *_POD_SPEC) for name, path in _PODS.items()},
    "/pods": (*_below("spec", *_POD_SPEC), Gate(36, ("status.extendedResourceClaimStatus",)), Gate(36, _HEALTH)),
    # DeploymentReplicaSetTerminatingReplicas
    **{
        name: (*_below("spec.template.spec", *_POD_SPEC), Gate(35, ("status.terminatingReplicas",)))
        for name in ("apps/deployments", "apps/replicasets")
    },
    "/nodes": (Gate(_NEVER, ("status.config", "spec.configSource")),),
    "resource.k8s.io/deviceclasses": (Gate(36, ("spec.extendedResourceName",)),),  # DRAExtendedResource
    "resource.k8s.io/resourceclaims": (*_below("spec", *_CLAIM), *_CLAIM_STATUS),
    "resource.k8s.io/resourceclaimtemplates": _below("spec.spec", *_CLAIM),
    "resource.k8s.io/resourceslices": _SLICE,
}


def applied(strategy: Strategy, kind: str, minor: str) -> Strategy:
    """`strategy` of a kind (its storage id) as a minor has it: what is switched off there does not get through."""
    number = int(minor.partition(".")[2])
    closed = tuple(gate for gate in _GATES.get(kind, ()) if number < gate.since)
    drops = tuple(drop for since, drop in _POD_DROPS if number < since)
    at = _PODS.get(kind, "")
    if not closed and not at:
        return strategy
    prepare_status = strategy.prepare_status

    def drop_of_pods(new: Object, old: Object | None) -> None:
        if (spec := _at(new, at)) is not None:
            for drop in drops:
                drop(spec, None if old is None else _at(old, at))

    def create(obj: Object) -> None:
        _drop(closed, obj, None)
        drop_of_pods(obj, None)
        strategy.prepare_create(obj)

    def update(new: Object, old: Object) -> None:
        _drop(closed, new, old)
        drop_of_pods(new, old)
        strategy.prepare_update(new, old)

    def status(new: Object, old: Object) -> None:
        assert prepare_status is not None
        _drop(closed, new, old)
        prepare_status(new, old)

    return replace(
        strategy,
        prepare_create=create,
        prepare_update=update,
        prepare_status=None if prepare_status is None else status,
    )


def _at(obj: Object, path: str) -> Object | None:
    found: Any = obj if path else None
    for name in path.split("."):
        found = (found or {}).get(name)
    return found if isinstance(found, dict) else None


def _drop(closed: tuple[Gate, ...], new: Object, old: Object | None) -> None:
    for gate in closed:
        held = [(holder, name) for path in gate.paths for holder, name in _holders(new, path)]
        if held and not (old is not None and _in_use(gate, old)):
            for holder, name in held:
                del holder[name]


def _in_use(gate: Gate, old: Object) -> bool:
    return any(holder[name] not in ([], {}) for path in gate.paths for holder, name in _holders(old, path))


def _holders(obj: Any, path: str) -> Iterator[tuple[Object, str]]:
    """Where the field at `path` is present: the structs that hold it, and its name."""
    name, _, rest = path.partition(".")
    plain = name.rstrip("[]{}")
    value = obj.get(plain) if isinstance(obj, dict) else None
    if value is None:
        return
    if not rest:
        yield obj, plain
    elif name.endswith("[]"):
        for item in value:
            yield from _holders(item, rest)
    elif name.endswith("{}"):
        for item in value.values():
            yield from _holders(item, rest)
    else:
        yield from _holders(value, rest)
