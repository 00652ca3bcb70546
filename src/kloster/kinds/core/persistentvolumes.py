"""PersistentVolumes: pieces of storage in the cluster, bound to claims.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import defaulting, lifecycle, quantity
from kloster.kinds.core.persistentvolumeclaims import BETA_CLASS
from kloster.kinds.podspec.defaults import default_volume_source
from kloster.kinds.strategy import Strategy


def _default(volume: Object) -> None:
    defaulting.empty(defaulting.struct(volume, "status"), phase="Pending")
    spec = defaulting.struct(volume, "spec")
    defaulting.empty(spec, persistentVolumeReclaimPolicy="Retain")
    defaulting.absent(spec, volumeMode="Filesystem")
    quantity.round_up_milli(spec.get("capacity"))
    default_volume_source(spec)


def _prepare_create(volume: Object) -> None:
    volume["status"] = {"phase": "Pending"}
    created = volume["metadata"].get("creationTimestamp")
    if created:
        volume["status"]["lastPhaseTransitionTime"] = created


def _prepare_status(new: Object, old: Object) -> None:
    """The time of the last change of phase stays while the phase does; whoever changes the phase sets it."""
    lifecycle.keep_spec(new, old)
    status, before = defaulting.struct(new, "status"), old.get("status") or {}
    if status.get("phase") == before.get("phase") and not status.get("lastPhaseTransitionTime"):
        lifecycle.restore(status, before, "lastPhaseTransitionTime")


def _cells(volume: Object, now: float) -> list[Any]:
    meta, spec, status = volume["metadata"], volume.get("spec") or {}, volume.get("status") or {}
    claim = spec.get("claimRef")
    beta = (meta.get("annotations") or {}).get(BETA_CLASS)
    attributes = spec.get("volumeAttributesClassName")
    return [
        meta["name"],
        str((spec.get("capacity") or {}).get("storage", "0")),
        table.access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if meta.get("deletionTimestamp") else status.get("phase", ""),
        "" if claim is None else f"{claim.get('namespace', '')}/{claim.get('name', '')}",
        beta if beta is not None else spec.get("storageClassName", ""),
        "<unset>" if attributes is None else attributes,
        status.get("reason", ""),
        table.age(volume, now),
        spec.get("volumeMode") or "<unset>",
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=lifecycle.keep_status,
    prepare_status=_prepare_status,
    status=True,
    returns_deleted=True,
    cells=_cells,
)
