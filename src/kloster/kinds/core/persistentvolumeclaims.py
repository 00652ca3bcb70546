"""PersistentVolumeClaims: a pod's request for storage, bound to a volume by the controller.

``dataSource`` is the older, narrower form of ``dataSourceRef``; each is filled in from the other.
Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, differences, lifecycle, metadata, names, quantity, resources
from kloster.kinds.podspec import warnings
from kloster.kinds.podspec.claims import validate_claim_spec
from kloster.kinds.podspec.defaults import default_claim_spec
from kloster.kinds.strategy import Strategy

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
"""The annotation that named the class before the field existed; it still wins."""


def _default(claim: Object) -> None:
    default_claim_spec(defaulting.struct(claim, "spec"))
    status = defaulting.struct(claim, "status")
    defaulting.empty(status, phase="Pending")
    quantity.round_up_milli(status.get("capacity"))
    quantity.round_up_milli(status.get("allocatedResources"))


def normalize_data_sources(spec: Object) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = {name: source[name] for name in ("apiGroup", "kind", "name") if name in source}
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {name: reference[name] for name in ("apiGroup", "kind", "name") if name in reference}


def _drop_unusable_source(spec: Object, old: Object | None) -> None:
    """A dataSource that is neither a claim nor a snapshot was ignored once and is dropped still (KEP 1495)."""
    source = spec.get("dataSource")
    if source is None or spec.get("dataSourceRef") is not None or (old or {}).get("dataSource") is not None:
        return
    known = {("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")}
    if (source.get("apiGroup") or "", source.get("kind", "")) not in known:
        del spec["dataSource"]


def _prepare_create(claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}
    spec = defaulting.struct(claim, "spec")
    _drop_unusable_source(spec, None)
    normalize_data_sources(spec)


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_status(new, old)
    spec = defaulting.struct(new, "spec")
    _drop_unusable_source(spec, old.get("spec"))
    normalize_data_sources(spec)


def _validate(claim: Object) -> Iterable[FieldError]:
    return validate_claim_spec(claim.get("spec") or {}, "spec")


def _annotation(claim: Object) -> str | None:
    value = (claim["metadata"].get("annotations") or {}).get(BETA_CLASS)
    return value if value is None else str(value)


def _storage(holder: Object | None, field: str) -> str:
    return str(((holder or {}).get(field) or {}).get("storage", "0"))


_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    """A claim's spec is fixed, except that a volume is assigned, a class is filled in, and a bound claim may grow."""
    yield from _validate(new)  # once more
    spec, before = copy.deepcopy(new.get("spec") or {}), copy.deepcopy(old.get("spec") or {})
    if not before.get("volumeName"):
        lifecycle.restore(before, spec, "volumeName")
    annotation, annotation_before = _annotation(new), _annotation(old)
    wanted = spec.get("storageClassName")
    fills_in = wanted is not None and before.get("storageClassName") is None
    if fills_in and annotation_before == wanted and annotation in (None, wanted):
        spec.pop("storageClassName")
    else:
        if (annotation or "") != (annotation_before or ""):
            at = f"metadata.annotations.{BETA_CLASS}"
            yield invalid_value(at, annotation or "", metadata.IMMUTABLE)
        if fills_in and annotation_before in (None, wanted):
            spec.pop("storageClassName")
    if (new.get("status") or {}).get("phase") == "Bound":
        requests = (spec.get("resources") or {}).get("requests")
        if requests is not None:
            lifecycle.restore(requests, (before.get("resources") or {}).get("requests") or {}, "storage")
        lifecycle.restore(spec, before, "volumeAttributesClassName")
    if not metadata.same(spec, before):
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield forbidden_field("spec", f"{text}\n{differences.diff(before, spec)}")
    yield from _validate_size(new, old)
    mode, mode_before = spec.get("volumeMode"), before.get("volumeMode")
    yield from metadata.immutable(mode, mode_before, "volumeMode")
    yield from _validate_attributes_class(new.get("spec") or {}, old)


def _validate_size(new: Object, old: Object) -> Iterable[FieldError]:
    """A request may shrink to what has not been reached yet (KEP 1790), never to what there is."""
    size, before = (
        quantity.parse(_storage((claim.get("spec") or {}).get("resources"), "requests")) for claim in (new, old)
    )
    if size < before and size <= quantity.parse(_storage(old.get("status"), "capacity")):
        yield forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity")


def _validate_attributes_class(spec: Object, old: Object) -> Iterable[FieldError]:
    name, before = spec.get("volumeAttributesClassName"), (old.get("spec") or {}).get("volumeAttributesClassName")
    if name == before or (old.get("status") or {}).get("currentVolumeAttributesClassName") is None:
        return
    text = "is forbidden when status.currentVolumeAttributesClassName is not nil"
    if name is None:
        yield forbidden_field("spec.volumeAttributesClassName", f"update to nil {text}")
    elif not name:
        yield forbidden_field("spec.volumeAttributesClassName", f"update to empty string {text}")


_RESIZE = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def _validate_status(new: Object, _old: Object) -> Iterable[FieldError]:
    status = new.get("status") or {}
    if not (new.get("spec") or {}).get("accessModes"):
        yield required("Spec.accessModes")
    for name, amount in (status.get("capacity") or {}).items():
        yield from _validate_amount(amount, f"status.capacity[{name}]")
    at = "status.allocatedResourceStatuses"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        yield from _validate_key(name, at)
        if state not in _RESIZE:
            yield not_supported(at, name, _RESIZE)
    at = "status.allocatedResources"
    for name, amount in (status.get("allocatedResources") or {}).items():
        yield from (
            list(_validate_key(name, at))
            or list(_validate_amount(amount, f"{at}[{name}]"))
            or resources.validate_amount("storage", amount, f"{at}[{name}]")
        )


def _validate_amount(amount: str, path: str) -> Iterable[FieldError]:
    value = quantity.parse(amount).value
    if value < 0:
        yield invalid_value(path, value, "must be a valid resource quantity")


def _validate_key(name: str, path: str) -> Iterable[FieldError]:
    found = checks.complaints(path, name, names.qualified_name(name))
    if not found and resources.is_native(name) and name != "storage":
        found = [not_supported(path, name, ("storage",))]
    return found


def _cells(claim: Object, now: float) -> list[Any]:
    meta, spec, status = claim["metadata"], claim.get("spec") or {}, claim.get("status") or {}
    volume = spec.get("volumeName", "")
    capacity = modes = ""
    if volume:
        modes = table.access_modes(status.get("accessModes"))
        capacity = str((status.get("capacity") or {}).get("storage", "0"))
    beta = (meta.get("annotations") or {}).get(BETA_CLASS)
    class_name = beta if beta is not None else spec.get("storageClassName") or ""
    attributes = spec.get("volumeAttributesClassName")
    return [
        meta["name"],
        "Terminating" if meta.get("deletionTimestamp") else status.get("phase", ""),
        volume,
        capacity,
        modes,
        class_name,
        "<unset>" if attributes is None else attributes,
        table.age(claim, now),
        spec.get("volumeMode") or "<unset>",
    ]


_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def _warn(new: Object, _old: Object | None, _minor: int) -> Iterator[str]:
    if _CLASS_ANNOTATION in (new["metadata"].get("annotations") or {}):
        text = 'deprecated since v1.8; use "storageClassName" attribute instead'
        yield f"metadata.annotations[{_CLASS_ANNOTATION}]: {text}"
    yield from warnings.of_claim_spec(new.get("spec"), "spec")


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    returns_deleted=True,
    cells=_cells,
    warn=_warn,
)
