"""ephemeral-volume-controller: a pod's ephemeral volumes get claims of their own, which go with the pod.

A volume ``scratch`` of type `ephemeral` in the pod ``web`` stands for the claim ``web-scratch``, made from the volume's
template and owned by the pod. A claim of that name that is not the pod's is never used: the pod waits.
https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from kloster.runtime.api import Context, Controller, Key, Watch
from kloster.workloads import pods, volumes
from kloster.workloads.ownership import controller_reference


def claim_for(pod: Object, volume: Object) -> Object:
    """The claim that stands behind one of the pod's ephemeral volumes."""
    template = volume["ephemeral"]["volumeClaimTemplate"]
    head = template.get("metadata") or {}
    metadata: Object = {
        "name": volumes.claim_name(pod, volume),
        "namespace": pod["metadata"]["namespace"],
        "ownerReferences": [controller_reference(pod)],
    }
    metadata.update({field: head[field] for field in ("labels", "annotations") if head.get(field)})
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}


async def reconcile(context: Context, key: Key) -> None:
    pod = context.source.get(PODS, *key)
    if pod is None or pods.is_deleting(pod):
        return
    for volume in _ephemeral(pod):
        try:
            await _ensure(context, pod, volume)
        except StatusError as error:
            context.recorder.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume['name']}: {error}")
            raise


async def _ensure(context: Context, pod: Object, volume: Object) -> None:
    wanted = claim_for(pod, volume)
    namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
    present = context.source.get(PERSISTENT_VOLUME_CLAIMS, namespace, name)
    if present is None:
        try:
            await context.client.create(PERSISTENT_VOLUME_CLAIMS, wanted)
        except StatusError as error:
            text = f"create PVC {name}: {error.message}"
            raise StatusError(error.code, error.reason, text, details=error.details) from error
    elif not volumes.is_made_for(present, pod):
        raise StatusError(409, "Conflict", volumes.foreign_claim(present, pod))


def _ephemeral(pod: Object) -> list[Object]:
    return [volume for volume in pod["spec"].get("volumes") or () if volume.get("ephemeral")]


def _is_new(change: Change) -> bool:
    """A pod's volumes never change."""
    return change.old is None and change.new is not None and bool(_ephemeral(change.new))


def _went(change: Change) -> bool:
    return change.new is None


def _of_claim(context: Context, change: Change) -> Iterable[Key]:
    """Somebody deleted a claim: the pods that stand without it now."""
    metadata = change.object["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    return [
        Key(namespace, pod["metadata"]["name"])
        for pod in context.source.list(PODS, namespace)
        if any(volumes.claim_name(pod, volume) == name for volume in _ephemeral(pod))
    ]


CONTROLLER = Controller(
    "ephemeral-volume-controller",
    (Watch(PODS, relevant=_is_new), Watch(PERSISTENT_VOLUME_CLAIMS, lookup=_of_claim, relevant=_went)),
    reconcile,
    component="ephemeral_volume",
)
