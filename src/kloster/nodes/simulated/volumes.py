"""Persistent volumes on simulated nodes: claims are bound, volumes are made and go, nothing is stored.

The model is upstream's two halves in one controller. The *binder* pairs a claim with a volume: one that the claim
names, else the smallest available one that fits. The *provisioner* makes a volume where the claim's class names it
(`PROVISIONER`): at once, or (`WaitForFirstConsumer`) when the scheduler has written the annotation
``volume.kubernetes.io/selected-node`` for the first pod. A volume whose claim has gone is deleted or, with reclaim
policy Retain, released.

The class `simulated` is the default, if the host has no other default when it starts.
Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kloster.apimachinery import Object, quantity
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kloster.placement.affinity import selects
from kloster.runtime.api import Context, Controller, Key, Result, Watch

PROVISIONER = "simulated.kloster.dev"
CLASS = "simulated"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
COMPONENT = "persistentvolume-controller"


@dataclass(frozen=True, slots=True)
class Take:
    """Bind the claim to this volume, which exists."""

    volume: Object


@dataclass(frozen=True, slots=True)
class Make:
    """Make this volume for the claim and bind it."""

    volume: Object


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done now; an event says why (if there is something to say)."""

    reason: str = ""
    message: str = ""


def decide(claim: Object, storage_class: Object | None, volumes: Iterable[Object]) -> Take | Make | Wait:
    """What becomes of an unbound claim."""
    spec = claim["spec"]
    name = spec.get("storageClassName") or ""
    waits = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    if waits and not spec.get("volumeName") and SELECTED_NODE not in (claim["metadata"].get("annotations") or {}):
        return Wait("WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    found = _match(claim, volumes)
    if found is not None:
        return Take(found)
    if spec.get("volumeName"):
        return Wait()
    if not name:
        return Wait("FailedBinding", "no persistent volumes available for this claim and no storage class is set")
    if storage_class is None:
        return Wait("ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
    if storage_class.get("provisioner") != PROVISIONER:
        return Wait()
    return Make(provisioned(claim, storage_class))


def provisioned(claim: Object, storage_class: Object) -> Object:
    """The volume for a claim of a simulated class."""
    spec, metadata = claim["spec"], claim["metadata"]
    name = f"pvc-{metadata['uid']}"
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "accessModes": list(spec.get("accessModes") or ()),
            "capacity": {"storage": size},
            "claimRef": reference(claim),
            "csi": {"driver": PROVISIONER, "volumeHandle": name},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
        },
    }


def reference(claim: Object) -> Object:
    """How a volume names its claim."""
    metadata = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def belongs(volume: Object, claim: Object) -> bool:
    """Whether the volume is reserved for this very claim."""
    found = volume["spec"].get("claimRef") or {}
    metadata = claim["metadata"]
    same = (found.get("namespace"), found.get("name")) == (metadata["namespace"], metadata["name"])
    return same and found.get("uid") in (None, "", metadata["uid"])


def _match(claim: Object, volumes: Iterable[Object]) -> Object | None:
    """The volume that is reserved for the claim, else the smallest that fits."""
    wanted = claim["spec"].get("volumeName")
    fitting = []
    for volume in volumes:
        if volume["metadata"].get("deletionTimestamp") or (wanted and volume["metadata"]["name"] != wanted):
            continue
        if belongs(volume, claim):
            return volume
        free = not volume["spec"].get("claimRef") and (volume.get("status") or {}).get("phase") == "Available"
        if free and _fits(volume, claim):
            fitting.append(volume)
    return min(fitting, key=lambda one: _size(one["spec"].get("capacity")), default=None)


def _fits(volume: Object, claim: Object) -> bool:
    has, wants = volume["spec"], claim["spec"]
    selector = wants.get("selector")
    return (
        (has.get("storageClassName") or "") == (wants.get("storageClassName") or "")
        and has.get("volumeMode", "Filesystem") == wants.get("volumeMode", "Filesystem")
        and set(wants.get("accessModes") or ()) <= set(has.get("accessModes") or ())
        and _size((wants.get("resources") or {}).get("requests")) <= _size(has.get("capacity"))
        and (selector is None or selects(selector, volume["metadata"].get("labels") or {}))
    )


def _size(amounts: Object | None) -> int:
    return quantity.parse(str((amounts or {}).get("storage", "0"))).value


def volume_controllers() -> tuple[Controller, ...]:
    """What a host with simulated storage runs."""

    def of_volume(change: Change) -> Iterable[Key]:
        found = change.object["spec"].get("claimRef")
        return [Key(found["namespace"], found["name"])] if found else []

    def unbound(context: Context, _: Change) -> Iterable[Key]:
        claims = context.source.list(PERSISTENT_VOLUME_CLAIMS)
        return [_key(one) for one in claims if (one.get("status") or {}).get("phase") != "Bound"]

    watches = (
        Watch(PERSISTENT_VOLUME_CLAIMS),
        Watch(PERSISTENT_VOLUMES, of_volume),
        Watch(PERSISTENT_VOLUMES, lookup=unbound, relevant=_available),
        Watch(STORAGE_CLASSES, lookup=unbound),
    )
    volumes = (
        Watch(
            PERSISTENT_VOLUMES,
            relevant=lambda change: change.new is not None and not change.new["spec"].get("claimRef"),
        ),
    )
    return (
        Controller("simulated-storage-class", (), _ensure_class, start=_once),
        Controller("persistentvolume-binder-controller", watches, _reconcile, component=COMPONENT),
        Controller("persistentvolume-available", volumes, _make_available),
    )


def _key(item: Object) -> Key:
    return Key(item["metadata"]["namespace"], item["metadata"]["name"])


def _available(change: Change) -> bool:
    return change.new is not None and (change.new.get("status") or {}).get("phase") == "Available"


def _once(_: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
    enqueue(Key("", CLASS))
    return lambda: None


async def _ensure_class(context: Context, key: Key) -> Result | None:
    """The default class, unless there is one."""
    classes = context.source.list(STORAGE_CLASSES)
    if any((one["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true" for one in classes):
        return None
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": key.name, "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
    try:
        await context.client.create(STORAGE_CLASSES, body)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
    return None


async def _make_available(context: Context, key: Key) -> Result | None:
    """A volume that somebody made by hand."""
    volume = context.source.get(PERSISTENT_VOLUMES, "", key.name)
    if volume is not None and not volume["spec"].get("claimRef"):
        await _phase(context, volume, "Available")
    return None


async def _reconcile(context: Context, key: Key) -> Result | None:
    claim = context.source.get(PERSISTENT_VOLUME_CLAIMS, key.namespace, key.name)
    volumes = context.source.list(PERSISTENT_VOLUMES)
    await _release(context, key, claim, volumes)
    if claim is None or claim["metadata"].get("deletionTimestamp"):
        return None
    name = claim["spec"].get("volumeName")
    volume = context.source.get(PERSISTENT_VOLUMES, "", name) if name else None
    if volume is not None and belongs(volume, claim) and volume["spec"]["claimRef"].get("uid"):
        await _settle(context, claim, volume)
        return None
    if name and volume is None and (claim.get("status") or {}).get("phase") == "Bound":
        await _patch_claim(context, claim, {"status": {"phase": "Lost"}}, "status")
        context.recorder.event(
            claim, "Warning", "ClaimLost", "Bound claim has lost its PersistentVolume. Data is lost!"
        )
        return None
    class_name = claim["spec"].get("storageClassName")
    storage_class = context.source.get(STORAGE_CLASSES, "", class_name) if class_name else None
    match decide(claim, storage_class, volumes):
        case Wait(reason, message):
            if reason and (claim.get("status") or {}).get("phase") != "Bound":
                context.recorder.event(
                    claim, "Warning" if reason == "ProvisioningFailed" else "Normal", reason, message
                )
        case Take(found):
            reserved = {"metadata": {"uid": found["metadata"]["uid"]}, "spec": {"claimRef": reference(claim)}}
            found = await context.client.patch(PERSISTENT_VOLUMES, "", found["metadata"]["name"], reserved)
            await _bind(context, claim, found)
        case Make(body):
            await _bind(context, claim, await _made(context, claim, body))
    return None


async def _made(context: Context, claim: Object, body: Object) -> Object:
    try:
        volume = await context.client.create(PERSISTENT_VOLUMES, body)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        return await context.client.get(PERSISTENT_VOLUMES, "", body["metadata"]["name"])
    text = f"Successfully provisioned volume {body['metadata']['name']}"
    context.recorder.for_component(PROVISIONER).event(claim, "Normal", "ProvisioningSucceeded", text)
    return volume


async def _bind(context: Context, claim: Object, volume: Object) -> None:
    annotations = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
    if not claim["spec"].get("volumeName"):
        patch = {"metadata": {"annotations": annotations}, "spec": {"volumeName": volume["metadata"]["name"]}}
        claim = await _patch_claim(context, claim, patch)
    await _settle(context, claim, volume)


async def _settle(context: Context, claim: Object, volume: Object) -> None:
    """Both say that they are bound; a claim that asks for more gets it."""
    wanted, has = _size((claim["spec"].get("resources") or {}).get("requests")), _size(volume["spec"].get("capacity"))
    if wanted > has and volume["spec"].get("csi", {}).get("driver") == PROVISIONER:
        size = claim["spec"]["resources"]["requests"]["storage"]
        patch = {"metadata": {"uid": volume["metadata"]["uid"]}, "spec": {"capacity": {"storage": size}}}
        volume = await context.client.patch(PERSISTENT_VOLUMES, "", volume["metadata"]["name"], patch)
    await _phase(context, volume, "Bound")
    status = {
        "phase": "Bound",
        "accessModes": volume["spec"].get("accessModes") or [],
        "capacity": volume["spec"].get("capacity") or {},
    }
    old = claim.get("status") or {}
    if any(old.get(field) != value for field, value in status.items()):
        await _patch_claim(context, claim, {"status": status}, "status")


async def _release(context: Context, key: Key, claim: Object | None, volumes: Sequence[Object]) -> None:
    """Volumes of former claims of this name."""
    for volume in volumes:
        found = volume["spec"].get("claimRef") or {}
        if (found.get("namespace"), found.get("name")) != key or not found.get("uid"):
            continue
        if claim is not None and found["uid"] == claim["metadata"]["uid"]:
            continue
        metadata = volume["metadata"]
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            if not metadata.get("deletionTimestamp"):
                await context.client.delete(PERSISTENT_VOLUMES, "", metadata["name"], uid=metadata["uid"])
        else:
            await _phase(context, volume, "Released")


async def _phase(context: Context, volume: Object, phase: str) -> None:
    if (volume.get("status") or {}).get("phase") == phase:
        return
    metadata = volume["metadata"]
    patch = {"metadata": {"uid": metadata["uid"]}, "status": {"phase": phase}}
    await context.client.patch(PERSISTENT_VOLUMES, "", metadata["name"], patch, subresource="status")


async def _patch_claim(context: Context, claim: Object, patch: Object, subresource: str = "") -> Object:
    metadata = claim["metadata"]
    body = {**patch, "metadata": {**patch.get("metadata", {}), "uid": metadata["uid"]}}
    return await context.client.patch(
        PERSISTENT_VOLUME_CLAIMS, metadata["namespace"], metadata["name"], body, subresource=subresource
    )
