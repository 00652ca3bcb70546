"""StorageObjectInUseProtection: claims and volumes are born with the finalizers that keep them while they are used.

Controllers take them off again. What Kloster shows of the host's volumes is not protected: it goes with the claim.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from __future__ import annotations

from kloster.apiserver.admission.api import CREATE, Attempt, Plugin

_FINALIZERS = {
    "/persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "/persistentvolumes": "kubernetes.io/pv-protection",
    "storage.k8s.io/volumeattributesclasses": "kubernetes.io/vac-protection",
}


def _mutate(attempt: Attempt) -> None:
    if attempt.user.assigns and attempt.served.plural == "persistentvolumes":
        return
    meta, finalizer = attempt.item["metadata"], _FINALIZERS[attempt.served.id]
    present = meta.get("finalizers") or []
    if finalizer not in present:
        meta["finalizers"] = [*present, finalizer]


PLUGIN = Plugin(
    name="StorageObjectInUseProtection",
    operations=frozenset({CREATE}),
    resources=frozenset(_FINALIZERS),
    mutate=_mutate,
)
