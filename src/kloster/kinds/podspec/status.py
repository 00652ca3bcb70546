"""Validation of a pod's status when it is written.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value
from kloster.kinds import checks, metadata, names
from kloster.kinds.podspec import legacy

_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")


def validate_status(new: Object, old: Object) -> Iterable[FieldError]:
    meta, before = new["metadata"], old["metadata"]
    yield from legacy.validate_changes(meta.get("annotations"), before.get("annotations"), "metadata.annotations")
    spec, status, old_status = old.get("spec") or {}, new.get("status") or {}, old.get("status") or {}
    yield from _validate_conditions(status.get("conditions") or (), "status.conditions")
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != old_status.get("nominatedNodeName"):
        yield from checks.complaints("status.nominatedNodeName", nominated, names.subdomain(nominated))
        if spec.get("nodeName"):
            yield forbidden_field("status.nominatedNodeName", "may not be set on pods that are already bound to a node")
    if (status.get("observedGeneration") or 0) < 0:
        value = status["observedGeneration"]
        yield invalid_value("status.observedGeneration", value, "must be a non-negative integer")
    yield from metadata.immutable(status.get("qosClass", ""), old_status.get("qosClass", ""), "status.qosClass")
    yield from _validate_transitions(status, old_status, spec)
    yield from _validate_claims(status, spec)
    yield from _validate_ips(status, old_status, "podIPs")
    ips = status.get("hostIPs") or ()
    if ips and ips[0].get("ip") != status.get("hostIP"):
        yield invalid_value("status.hostIPs[0].ip", ips[0].get("ip", ""), "must be equal to `hostIP`")
    yield from _validate_ips(status, old_status, "hostIPs")


def _validate_conditions(conditions: Iterable[Object], path: str) -> Iterable[FieldError]:
    for index, condition in enumerate(conditions):
        generation, kind = condition.get("observedGeneration") or 0, condition.get("type") or ""
        if generation < 0:
            text = "must be a non-negative integer"
            yield invalid_value(f"{path}[{index}].observedGeneration", generation, text)
        if kind not in _SYSTEM_CONDITIONS:
            yield from checks.complaints(f"{path}[{index}].Type", kind, names.qualified_name(kind))


def _terminated(container: Object) -> Object | None:
    return (container.get("state") or {}).get("terminated")


def _validate_transitions(status: Object, old: Object, spec: Object) -> Iterable[FieldError]:
    """What has ended stays so, unless the restart policy revives it."""
    policy = spec.get("restartPolicy")
    sidecars = {item.get("name") for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        ephemeral = field == "ephemeralContainerStatuses"
        if policy == "Always" and not ephemeral:
            continue
        alive = {item.get("name") for item in status.get(field) or () if _terminated(item) is None}
        for index, container in enumerate(old.get(field) or ()):
            ended, name = _terminated(container), container.get("name")
            if ended is None or name not in alive:
                continue
            revived = (policy == "OnFailure" and ended.get("exitCode")) or name in sidecars
            if ephemeral or not revived:
                text = "may not be transitioned to non-terminated state"
                yield forbidden_field(f"status.{field}[{index}].state", text)


def _validate_claims(status: Object, spec: Object) -> Iterable[FieldError]:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        at, name = f"status.resourceClaimStatuses[{index}]", claim.get("name") or ""
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            yield invalid_value(f"{at}.name", name, text)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        if claim.get("resourceClaimName") is not None:
            value = claim["resourceClaimName"]
            yield from checks.complaints(f"{at}.resourceClaimName", value, names.subdomain(value))


def _validate_ips(status: Object, old: Object, field: str) -> Iterable[FieldError]:
    """Valid addresses (old ones may stay as they are), at most one of each family."""
    ips = [entry.get("ip", "") for entry in status.get(field) or ()]
    before = [entry.get("ip", "") for entry in old.get(field) or ()]
    for index, ip in enumerate(ips):
        if ip not in before:
            yield from checks.complaints(f"status.{field}[{index}]", ip, names.ip(ip))
    wrong = next((index for index, ip in enumerate(ips) if names.parse_ip(ip) is None), None)
    if len(ips) > 1 and wrong is not None:
        text = f"Internal error: failed to check for dual stack with error:invalid IP[{wrong}]: {ips[wrong]}"
        yield FieldError("InternalError", f"status.{field}", text)
    if len(ips) > 1 and (len(ips) > 2 or not dual_stack(ips)):
        shown = [{"IP": ip} for ip in ips]
        yield invalid_value(f"status.{field}", shown, "may specify no more than one IP for each IP family")


def dual_stack(ips: Sequence[str]) -> bool:
    """Whether there is an address of either family."""
    return {address.version for address in map(names.parse_ip, ips) if address is not None} == {4, 6}
