"""What may change in a pod once it exists.

Of the spec: images, the deadline (downwards), tolerations (additions), scheduling gates (removals), a negative grace
period (to 1); and as long as a pod is gated, more node selection. Everything else is fixed.
Source: https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, required
from kloster.kinds import differences, metadata, names
from kloster.kinds.podspec import legacy, scheduling
from kloster.kinds.podspec.containers import validate_image_padding

_MAX_INT32 = 2**31 - 1
_UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    """Findings about an update of the main resource, beside those about the new pod itself."""
    meta, before = new["metadata"], old["metadata"]
    yield from legacy.validate_changes(meta.get("annotations"), before.get("annotations"), "metadata.annotations")
    spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    for name in ("containers", "initContainers"):
        containers = spec.get(name) or []
        if len(containers) != len(old_spec.get(name) or []):
            yield forbidden_field(f"spec.{name}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(containers):
            if not container.get("image"):
                yield required(f"spec.{name}[{index}].image")
            yield from validate_image_padding(container, f"spec.{name}[{index}]")
    found = list(_validate_deadline(spec.get("activeDeadlineSeconds"), old_spec.get("activeDeadlineSeconds")))
    yield from found
    if found and spec.get("activeDeadlineSeconds") is not None:
        return
    yield from _validate_tolerations(spec.get("tolerations") or [], old_spec.get("tolerations") or [])
    yield from _validate_gates(spec.get("schedulingGates") or [], old_spec.get("schedulingGates") or [])
    if not metadata.same(spec, old_spec):
        yield from _validate_rest(spec, old_spec)


def _validate_deadline(new: int | None, old: int | None) -> Iterable[FieldError]:
    at = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            yield invalid_value(at, None, "must not update from a positive integer to nil value")
    elif not 0 <= new <= _MAX_INT32:
        yield invalid_value(at, new, names.between(0, _MAX_INT32))
    elif old is not None and old < new:
        yield invalid_value(at, new, "must be less than or equal to previous value")


def _without_seconds(toleration: Object) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds" and value not in (None, "")}


def _validate_tolerations(new: Sequence[Object], old: Sequence[Object]) -> Iterable[FieldError]:
    kept = [_without_seconds(toleration) for toleration in new]
    if any(_without_seconds(toleration) not in kept for toleration in old):
        text = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden_field("spec.tolerations", text)
    else:
        yield from scheduling.validate_tolerations(new, "spec.tolerations")


def _validate_gates(new: Sequence[Object], old: Sequence[Object]) -> Iterable[FieldError]:
    known = {gate.get("name") for gate in old}
    for index, gate in enumerate(new):
        name = gate.get("name", "")
        if name not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{name}'"
            yield forbidden_field(f"spec.schedulingGates[{index}].name", text)


def _validate_rest(new: Object, old: Object) -> Iterable[FieldError]:
    """Puts the old values in place of all that may change; what differs then, may not."""
    spec = copy.deepcopy(new)
    for name in ("containers", "initContainers"):
        for container, before in zip(spec.get(name) or (), old.get(name) or (), strict=True):
            _take(container, before, "image")
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _take(spec, old, field)
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        _take(spec, old, "terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        yield from _validate_gated(spec, old)
    if not metadata.same(spec, old):
        text = f"pod updates may not change fields other than {_UPDATABLE}\n{differences.diff(old, spec)}"
        yield forbidden_field("spec", text)


def _take(target: Object, source: Object, field: str) -> None:
    if source.get(field) is None:
        target.pop(field, None)
    else:
        target[field] = source[field]


def _validate_gated(spec: Object, old: Object) -> Iterable[FieldError]:
    """A pod that is not yet up for scheduling may be narrowed down to fewer nodes."""
    selector, before = spec.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in before.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid_value("spec.nodeSelector", selector, text)
    _take(spec, old, "nodeSelector")
    affinity, old_affinity = spec.get("affinity") or {}, old.get("affinity") or {}
    yield from _validate_node_affinity(affinity.get("nodeAffinity") or {}, old_affinity.get("nodeAffinity") or {})
    if affinity or old_affinity:
        affinity = dict(affinity)
        _take(affinity, old_affinity, "nodeAffinity")
        spec["affinity"] = affinity or None


def _terms(affinity: Object) -> list[Any]:
    return list((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())


def _validate_node_affinity(new: Object, old: Object) -> Iterable[FieldError]:
    terms, before = _terms(new), _terms(old)
    at = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if not before:
        return
    if len(terms) != len(before):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield invalid_value(at, scheduling.internal_terms(terms) or None, text)
        return
    for index, (term, previous) in enumerate(zip(terms, before, strict=True)):
        if not _only_adds(term, previous):
            text = "only additions are allowed (no mutations or deletions)"
            yield invalid_value(f"{at}[{index}]", scheduling.internal_terms([term])[0], text)


def _only_adds(new: Object, old: Object) -> bool:
    lists = [(new.get(name) or [], old.get(name) or []) for name in ("matchExpressions", "matchFields")]
    if not any(before for _, before in lists):  # an empty term matches nothing: adding would widen it
        return not any(after for after, _ in lists)
    return all(metadata.same(after[: len(before)], before) for after, before in lists)
