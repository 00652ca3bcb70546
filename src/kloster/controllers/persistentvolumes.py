"""persistentvolume-protection-controller: a volume that is bound to a claim is not deleted under it.

What Kloster shows of the host's volumes is not protected: it goes with the claim.
https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from __future__ import annotations

from kloster.client.api import Change
from kloster.client.resources import PERSISTENT_VOLUMES
from kloster.runtime.api import Context, Controller, Key, Watch
from kloster.workloads.protection import protect

FINALIZER = "kubernetes.io/pv-protection"


async def reconcile(context: Context, key: Key) -> None:
    volume = context.source.get(PERSISTENT_VOLUMES, *key)
    if volume is not None and FINALIZER in (volume["metadata"].get("finalizers") or ()):
        status = volume.get("status") or {}
        await protect(context, PERSISTENT_VOLUMES, volume, FINALIZER, lambda: status.get("phase") == "Bound")


def _is_going(change: Change) -> bool:
    return change.new is not None and "deletionTimestamp" in change.new["metadata"]


CONTROLLER = Controller(
    "persistentvolume-protection-controller", (Watch(PERSISTENT_VOLUMES, relevant=_is_going),), reconcile
)
