"""The two parts of a running pod's spec that change through subresources: ephemeral containers and resources.

Both functions compare a pod with what it was; everything else has been put back before (pods/ephemeralcontainers,
pods/resize). Source: https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value
from kloster.kinds import differences, metadata
from kloster.kinds.podspec.legacy import MIRROR
from kloster.kinds.podspec.qos import qos_class


def _is_mirror(pod: Object) -> bool:
    return MIRROR in (pod["metadata"].get("annotations") or {})


def validate_ephemeral(new: Object, old: Object) -> Iterable[FieldError]:
    """Ephemeral containers are added, never changed or removed."""
    if _is_mirror(old):
        yield forbidden_field(metadata.WHOLE_OBJECT, "static pods do not support ephemeral containers")
        return
    at, field = "spec.ephemeralContainers", "ephemeralContainers"
    known = {item.get("name"): item for item in (new.get("spec") or {}).get(field) or ()}
    for item in (old.get("spec") or {}).get(field) or ():
        name = item.get("name", "")
        if name not in known:
            yield forbidden_field(at, f'existing ephemeral containers "{name}" may not be removed\n')
        elif not metadata.same(known[name], item):
            text = f'existing ephemeral containers "{name}" may not be changed\n'
            yield forbidden_field(at, text + differences.diff(item, known[name]))


def validate_resize(new: Object, old: Object) -> Iterable[FieldError]:
    """Only cpu and memory of containers and sidecars change, none is taken away, and the QoS class stays."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    refusal = _unresizable(old, spec, before)
    if refusal:
        yield forbidden_field(metadata.WHOLE_OBJECT, refusal)
        return
    kept = (old.get("status") or {}).get("qosClass") or qos_class(before)
    if qos_class(spec) != kept:
        shown = (new.get("status") or {}).get("qosClass", "")
        yield invalid_value("spec", shown, "Pod QOS Class may not change as a result of resizing")
    running = [
        status
        for status in (old.get("status") or {}).get("containerStatuses") or ()
        if (status.get("state") or {}).get("running") is not None
    ]
    if running and running[0].get("resources") is None:
        yield forbidden_field("spec", "Pod running on node without support for resize")
    misplaced = [*_validate_order(spec, before, "containers"), *_validate_order(spec, before, "initContainers")]
    yield from misplaced
    if misplaced:
        return
    yield from _validate_removal(spec, before)
    yield from _validate_rest(spec, before)


def _unresizable(old: Object, spec: Object, before: Object) -> str:
    for holder in (before, spec):
        resources = holder.get("resources") or {}
        if resources.get("requests") or resources.get("limits"):
            return "pods with pod-level resources cannot be resized"
    if _is_mirror(old):
        return "static pods cannot be resized"
    if (before.get("os") or {}).get("name") == "windows":
        return "windows pods cannot be resized"
    return ""


def _validate_order(spec: Object, before: Object, field: str) -> Iterable[FieldError]:
    containers, previous = spec.get(field) or [], before.get(field) or []
    if len(containers) != len(previous):
        yield forbidden_field(f"spec.{field}", f"{field} may not be added or removed on resize")
        return
    for index, (container, other) in enumerate(zip(containers, previous, strict=True)):
        if container.get("name") != other.get("name"):
            text = f"{field} may not be renamed or reordered on resize"
            yield forbidden_field(f"spec.{field}[{index}].name", text)


def _pairs(spec: Object, before: Object, field: str) -> Iterable[tuple[int, Object, Object]]:
    containers, previous = spec.get(field) or [], before.get(field) or []
    for index, (container, other) in enumerate(zip(containers, previous, strict=True)):
        yield index, container, other


def _validate_removal(spec: Object, before: Object) -> Iterable[FieldError]:
    for field in ("initContainers", "containers"):
        for index, container, other in _pairs(spec, before, field):
            if field == "initContainers" and other.get("restartPolicy") != "Always":
                continue
            for kind in ("requests", "limits"):
                amounts = (container.get("resources") or {}).get(kind) or {}
                if not set((other.get("resources") or {}).get(kind) or ()) <= set(amounts):
                    at = f"spec.{field}[{index}].resources.{kind}"
                    yield forbidden_field(at, f"resource {kind} cannot be removed")


def _validate_rest(spec: Object, before: Object) -> Iterable[FieldError]:
    for _, container, other in _pairs(spec, before, "containers"):
        if not metadata.same(_without_cpu_and_memory(container, other), other):
            yield forbidden_field("spec", "only cpu and memory resources are mutable")
    for _, container, other in _pairs(spec, before, "initContainers"):
        if container.get("restartPolicy") != "Always":
            if not metadata.same(container, other):
                yield forbidden_field("spec", "resources for non-sidecar init containers are immutable")
        elif not metadata.same(_without_cpu_and_memory(container, other), other):
            yield forbidden_field("spec", "only cpu and memory resources for sidecar containers are mutable")


def _without_cpu_and_memory(container: Object, other: Object) -> Object:
    """The container with the other's cpu and memory, where the other has any amounts at all."""
    result = copy.deepcopy(container)
    resources = result.get("resources") or {}
    for kind in ("requests", "limits"):
        amounts, previous = dict(resources.get(kind) or {}), (other.get("resources") or {}).get(kind)
        if not previous:
            resources.pop(kind, None)
            continue
        for name in ("cpu", "memory"):
            amounts.pop(name, None)
            if name in previous:
                amounts[name] = previous[name]
        resources[kind] = amounts
    return result
