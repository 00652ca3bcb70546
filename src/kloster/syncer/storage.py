"""PersistentVolumes and StorageClasses as the tenant sees them: those of the host that its claims use, to be read.

A bound claim of the tenant names a volume; the tenant's PersistentVolume of that name shows the host volume's size,
modes, class and driver, and nothing by which it could be reached: its handle is the tenant's own name for it. The
StorageClass that a claim uses is shown without parameters. Both carry the mark `COPY` and follow the host; what the
tenant makes by itself carries none, is left alone, and means nothing to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kloster.runtime.api import Context, Controller, Key, Watch
from kloster.syncer.engine import Syncer
from kloster.syncer.hub import owned
from kloster.syncer.names import virtual_key

COPY = "kloster.dev/from-host"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
SOMEWHERE = "host.kloster.dev"
"""The driver that is shown of a volume that has none: one on a network share, or a directory of a node."""

VOLUME_FIELDS = ("capacity", "accessModes", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode")
CHANGEABLE = ("capacity", "accessModes", "persistentVolumeReclaimPolicy")
CLASS_FIELDS = ("provisioner", "reclaimPolicy", "volumeBindingMode", "allowVolumeExpansion")
Enqueue = Callable[[Key], None]


def shown_volume(claim: Object, host: Object) -> Object:
    """The tenant's PersistentVolume for its bound `claim`; `host` is the host's."""
    name, spec = claim["spec"]["volumeName"], host["spec"]
    owner = claim["metadata"]
    driver = (spec.get("csi") or {}).get("driver") or SOMEWHERE
    annotations = {COPY: "true"}
    made_by = (host["metadata"].get("annotations") or {}).get(PROVISIONED_BY)
    if made_by:
        annotations[PROVISIONED_BY] = made_by
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    reference.update({field: owner[field] for field in ("namespace", "name", "uid")})
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            **{field: spec[field] for field in VOLUME_FIELDS if field in spec},
            "claimRef": reference,
            "csi": {"driver": driver, "volumeHandle": name},
        },
    }


def shown_class(host: Object) -> Object:
    """The tenant's StorageClass."""
    annotations = {COPY: "true"}
    if (host["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true":
        annotations[DEFAULT_CLASS] = "true"
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": host["metadata"]["name"], "annotations": annotations},
        **{field: host[field] for field in CLASS_FIELDS if field in host},
    }


def is_copy(item: Object) -> bool:
    return (item["metadata"].get("annotations") or {}).get(COPY) == "true"


def volume_controller(syncer: Syncer) -> Controller:
    """Keeps the tenant's PersistentVolumes. Keys are claims."""

    def follow_host(_: Context, enqueue: Enqueue) -> Callable[[], None]:
        def changed(change: Change) -> None:
            reference = change.object["spec"]["claimRef"]
            host_claim = owned(syncer.hub, syncer.tenancy, PERSISTENT_VOLUME_CLAIMS, reference["name"])
            found = virtual_key(host_claim) if host_claim is not None else None
            if found is not None:
                enqueue(Key(*found))

        return syncer.hub.listen_volumes(syncer.tenancy, changed)

    async def reconcile(context: Context, key: Key) -> None:
        await _reconcile_volume(syncer, context, key)

    watches = (
        Watch(PERSISTENT_VOLUME_CLAIMS, relevant=_bound_otherwise),
        Watch(PERSISTENT_VOLUMES, keys=_claim_of, relevant=lambda change: is_copy(change.object)),
    )
    return Controller("syncer-persistentvolumes", watches, reconcile, start=follow_host)


def _bound_otherwise(change: Change) -> bool:
    old, new = change.old, change.new
    if old is None or new is None:
        return True
    return bool(
        old["spec"].get("volumeName") != new["spec"].get("volumeName")
        or old["metadata"]["uid"] != new["metadata"]["uid"]
    )


def _claim_of(change: Change) -> Iterable[Key]:
    reference = change.object["spec"].get("claimRef")
    return [Key(reference["namespace"], reference["name"])] if reference else []


async def _reconcile_volume(syncer: Syncer, context: Context, key: Key) -> None:
    claim = context.source.get(PERSISTENT_VOLUME_CLAIMS, *key)
    wanted = _wanted_volume(syncer, key, claim) if claim is not None else None
    name = wanted["metadata"]["name"] if wanted is not None else ""
    try:
        await _remove_others(context, key, name)
        if wanted is not None:
            await _keep_volume(context, wanted)
    except StatusError as error:
        if error.code not in (404, 409):
            raise


def _wanted_volume(syncer: Syncer, key: Key, claim: Object) -> Object | None:
    name = claim["spec"].get("volumeName")
    host_name = syncer.tenancy.name(key.name, key.namespace)
    host_claim = owned(syncer.hub, syncer.tenancy, PERSISTENT_VOLUME_CLAIMS, host_name)
    if not name or host_claim is None or not host_claim["spec"].get("volumeName"):
        return None
    host = syncer.hub.source.get(PERSISTENT_VOLUMES, "", host_claim["spec"]["volumeName"])
    if host is None or (host["spec"].get("claimRef") or {}).get("uid") != host_claim["metadata"]["uid"]:
        return None
    return shown_volume(claim, host)


async def _remove_others(context: Context, key: Key, name: str) -> None:
    """Copies that stood for a former claim of this name."""
    for volume in context.source.list(PERSISTENT_VOLUMES):
        reference = volume["spec"].get("claimRef") or {}
        if volume["metadata"]["name"] == name or not is_copy(volume):
            continue
        if (reference.get("namespace"), reference.get("name")) == key:
            await _delete(context, volume)


async def _delete(context: Context, volume: Object) -> None:
    metadata = volume["metadata"]
    await context.client.delete(PERSISTENT_VOLUMES, "", metadata["name"], uid=metadata["uid"])


async def _keep_volume(context: Context, wanted: Object) -> None:
    name, spec = wanted["metadata"]["name"], wanted["spec"]
    present = context.source.get(PERSISTENT_VOLUMES, "", name)
    if present is None:
        present = await context.client.create(PERSISTENT_VOLUMES, wanted)
    if not is_copy(present):
        return  # the tenant has one of that name
    if present["spec"].get("claimRef", {}).get("uid") != spec["claimRef"]["uid"]:
        await _delete(context, present)
        return
    changed = {field: spec[field] for field in CHANGEABLE if present["spec"].get(field) != spec.get(field)}
    if changed:
        await context.client.patch(PERSISTENT_VOLUMES, "", name, {"spec": changed})
    if (present.get("status") or {}).get("phase") != "Bound":
        await context.client.patch(PERSISTENT_VOLUMES, "", name, {"status": {"phase": "Bound"}}, subresource="status")


def class_controller(syncer: Syncer, everything: bool = False) -> Controller:
    """Keeps the tenant's StorageClasses. Keys are their names.

    everything    those that no claim uses are shown as well
    """

    def follow_host(_: Context, enqueue: Enqueue) -> Callable[[], None]:
        def changed(change: Change) -> None:
            enqueue(Key("", change.object["metadata"]["name"]))

        return syncer.hub.source.subscribe(STORAGE_CLASSES, changed)

    async def reconcile(context: Context, key: Key) -> None:
        try:
            await _reconcile_class(syncer, context, key.name, everything)
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    watches = (Watch(PERSISTENT_VOLUME_CLAIMS, _class_of, _class_named), Watch(STORAGE_CLASSES))
    return Controller("syncer-storageclasses", watches, reconcile, start=follow_host)


def _class_of(change: Change) -> Iterable[Key]:
    name = change.object["spec"].get("storageClassName")
    return [Key("", name)] if name else []


def _class_named(change: Change) -> bool:
    if change.new is None:
        return False
    return change.old is None or _class_of(change) != _class_of(Change(change.resource, None, change.old))


def _is_used(context: Context, name: str) -> bool:
    claims = context.source.list(PERSISTENT_VOLUME_CLAIMS)
    return any(one["spec"].get("storageClassName") == name for one in claims)


async def _reconcile_class(syncer: Syncer, context: Context, name: str, everything: bool) -> None:
    host = syncer.hub.source.get(STORAGE_CLASSES, "", name)
    present = context.source.get(STORAGE_CLASSES, "", name)
    if present is not None and not is_copy(present):
        return
    if host is None:
        if present is not None:
            await context.client.delete(STORAGE_CLASSES, "", name, uid=present["metadata"]["uid"])
        return
    wanted = shown_class(host)
    if present is None:
        if everything or _is_used(context, name):
            await context.client.create(STORAGE_CLASSES, wanted)
        return
    if any(present.get(field) != wanted.get(field) for field in CLASS_FIELDS):
        await context.client.delete(STORAGE_CLASSES, "", name, uid=present["metadata"]["uid"])
        return  # most of a class cannot be changed; it comes back as the host has it now
    default = wanted["metadata"]["annotations"].get(DEFAULT_CLASS)
    if (present["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) != default:
        await context.client.patch(STORAGE_CLASSES, "", name, {"metadata": {"annotations": {DEFAULT_CLASS: default}}})
