"""PersistentVolumeClaims: a pod's request for storage, bound to a volume by the controller.

``dataSource`` is the older, narrower form of ``dataSourceRef``; each is filled in from the other.
Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import defaulting, lifecycle, quantity
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


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    status=True,
    returns_deleted=True,
    cells=_cells,
)
