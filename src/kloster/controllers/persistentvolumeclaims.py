"""persistentvolumeclaim-protection-controller: a claim that a pod uses is not deleted under it.

Every claim gets the finalizer ``kubernetes.io/pvc-protection``; it is taken off a claim that is being deleted as soon
as no pod that has a node and has not ended refers to it.
https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from kloster.runtime.api import Context, Controller, Key, Watch
from kloster.workloads import pods, volumes
from kloster.workloads.protection import protect

FINALIZER = "kubernetes.io/pvc-protection"


def _names(pod: Object) -> list[str]:
    return [name for name, _ in volumes.claims_of(pod)]


def uses(pod: Object, claim: str) -> bool:
    return bool(pod["spec"].get("nodeName")) and not pods.is_terminal(pod) and claim in _names(pod)


def is_used(context: Context, claim: Key) -> bool:
    return any(uses(pod, claim.name) for pod in context.source.list(PODS, claim.namespace))


async def reconcile(context: Context, key: Key) -> None:
    claim = context.source.get(PERSISTENT_VOLUME_CLAIMS, *key)
    if claim is not None:
        await protect(context, PERSISTENT_VOLUME_CLAIMS, claim, FINALIZER, lambda: is_used(context, key))


def _of_pod(change: Change) -> Iterable[Key]:
    """A pod has gone or ended: its claims may be free."""
    if change.new is not None and not pods.is_terminal(change.new):
        return ()
    pod = change.object
    return [Key(pod["metadata"]["namespace"], name) for name in _names(pod)]


CONTROLLER = Controller(
    "persistentvolumeclaim-protection-controller",
    (Watch(PERSISTENT_VOLUME_CLAIMS), Watch(PODS, keys=_of_pod)),
    reconcile,
)
