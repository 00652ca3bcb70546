"""The claims of a pod: which of them keep it from being scheduled, and which wait for it to have a node.

Source: https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode (plugin VolumeBinding).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.workloads import volumes

SELECTED_NODE = "volume.kubernetes.io/selected-node"
AWAITED = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


@dataclass(frozen=True, slots=True)
class Claims:
    """problem   why the pod cannot be scheduled, in upstream's words; empty if it can
    delayed   claims that are bound once a node has been selected
    """

    problem: str = ""
    delayed: tuple[Object, ...] = ()


NONE = Claims()


def look(pod: Object, claim: Callable[[str], Object | None], storage_class: Callable[[str], Object | None]) -> Claims:
    """What the pod's claims say. `claim` looks one up in the pod's namespace."""
    delayed: list[Object] = []
    unbound = False
    for name, ephemeral in volumes.claims_of(pod):
        found = claim(name)
        if found is None:
            return Claims(f'{AWAITED} "{name}"' if ephemeral else f'persistentvolumeclaim "{name}" not found')
        if ephemeral and not volumes.is_made_for(found, pod):
            return Claims(volumes.foreign_claim(found, pod))
        if found["metadata"].get("deletionTimestamp"):
            return Claims(f'persistentvolumeclaim "{name}" is being deleted')
        status = (found.get("status") or {}).get("phase")
        if status == "Lost":
            return Claims(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume')
        if status == "Bound" and found["spec"].get("volumeName"):
            continue
        kind = storage_class(found["spec"].get("storageClassName") or "")
        if kind is not None and kind.get("volumeBindingMode") == "WaitForFirstConsumer":
            delayed.append(found)
        else:
            unbound = True
    return Claims(UNBOUND) if unbound else Claims(delayed=tuple(delayed)) if delayed else NONE
