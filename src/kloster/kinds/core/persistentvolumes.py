"""PersistentVolumes: pieces of storage in the cluster, bound to claims.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, differences, lifecycle, metadata, names, nodelabels, quantity, resources
from kloster.kinds.core.persistentvolumeclaims import BETA_CLASS
from kloster.kinds.podspec import paths, warnings
from kloster.kinds.podspec.claims import ACCESS_MODES, VOLUME_MODES
from kloster.kinds.podspec.defaults import default_volume_source
from kloster.kinds.podspec.scheduling import internal_terms, validate_node_selector
from kloster.kinds.podspec.sources import validate_csi_driver, validate_source
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


MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_SOURCES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
)
_WITHOUT_MOUNT_OPTIONS = frozenset(
    {"hostPath", "flocker", "fc", "flexVolume", "portworxVolume", "scaleIO", "local", "storageos", "csi"}
)
_PATHS = {"gcePersistentDisk": "persistentDisk"}


def _validate(volume: Object) -> Iterable[FieldError]:
    spec = volume.get("spec") or {}
    yield from validate_spec(spec, "spec")
    annotated = MOUNT_OPTIONS in (volume["metadata"].get("annotations") or {})
    if annotated and all(spec.get(name) is None for name in _SOURCES if name not in _WITHOUT_MOUNT_OPTIONS):
        at = f"metadata.annotations.{MOUNT_OPTIONS}"
        yield forbidden_field(at, "may not specify mount options for this volume type")


def validate_spec(spec: Object, path: str, *, inline: bool = False) -> Iterable[FieldError]:
    """The spec of a volume, or one that stands `inline` in a VolumeAttachment: there only CSI's."""
    if inline:
        yield from _validate_inline(spec, path)
    modes = spec.get("accessModes") or ()
    if not modes:
        yield required(f"{path}.accessModes")
    for mode in modes:
        yield from checks.supported(f"{path}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and set(modes) & set(ACCESS_MODES) != {"ReadWriteOncePod"}:
        yield forbidden_field(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")
    if not inline:
        yield from _validate_capacity(spec.get("capacity") or {}, path)
    policy, at = spec.get("persistentVolumeReclaimPolicy"), f"{path}.persistentVolumeReclaimPolicy"
    if policy and inline and policy != "Retain":
        yield forbidden_field(at, f"may only be Retain {_INLINE}")
    elif policy and not inline:
        yield from checks.supported(at, policy, ("Delete", "Recycle", "Retain"))
    affinity = spec.get("nodeAffinity")
    if affinity is not None and inline:
        yield forbidden_field(f"{path}.nodeAffinity", f"may not be specified {_INLINE}")
    elif affinity is not None:
        yield from _validate_node_affinity(affinity, path)
    yield from _validate_sources(spec, path, inline)
    yield from _validate_classes(spec, path, inline)


_INLINE = "in the context of inline volumes"


def _validate_inline(spec: Object, path: str) -> Iterable[FieldError]:
    if spec.get("claimRef") is not None:
        yield forbidden_field(f"{path}.claimRef", f"may not be specified {_INLINE}")
    if spec.get("capacity"):
        yield forbidden_field(f"{path}.capacity", f"may not be specified {_INLINE}")
    if spec.get("csi") is None:
        yield required(f"{path}.csi", f"has to be specified {_INLINE}")


def _validate_capacity(capacity: Object, path: str) -> Iterable[FieldError]:
    if not capacity:
        yield required(f"{path}.capacity")
    if set(capacity) != {"storage"}:
        yield not_supported(f"{path}.capacity", capacity or None, ("storage",))
    for name, amount in capacity.items():
        at = f"{path}.capacity[{name}]"
        value = quantity.parse(amount).value
        if value < 0:
            yield invalid_value(at, value, "must be a valid resource quantity")
        yield from resources.positive(amount, at)


def _validate_node_affinity(affinity: Object, path: str) -> Iterable[FieldError]:
    if affinity.get("required") is None:
        yield required(f"{path}.nodeAffinity.required", "must specify required node constraints")
    else:
        yield from validate_node_selector(affinity["required"], f"{path}.nodeAffinity.required")


def _validate_sources(spec: Object, path: str, inline: bool) -> Iterable[FieldError]:
    given = [name for name in _SOURCES if spec.get(name) is not None]
    if not given:
        yield required(path, "must specify a volume type")
    for position, name in enumerate(given):
        if position:
            yield forbidden_field(f"{path}.{name}", "may not specify more than 1 volume type")
        else:
            yield from _validate_source(name, spec, f"{path}.{_PATHS.get(name, name)}")
            if name == "local" and (inline or spec.get("nodeAffinity") is None):
                yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    root = ((spec.get("hostPath") or {}).get("path") or "").strip("/") == ""
    if spec.get("hostPath") is not None and root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        yield forbidden_field(f"{path}.persistentVolumeReclaimPolicy", text)


def _validate_source(name: str, spec: Object, path: str) -> Iterable[FieldError]:
    source = spec[name]
    if name == "local":
        if source.get("path"):
            yield from paths.validate_no_backsteps(source["path"], f"{path}.path")
        else:
            yield required(f"{path}.path")
    elif name == "csi":
        yield from validate_csi_driver(source.get("driver") or "", f"{path}.driver")
        if not source.get("volumeHandle"):
            yield required(f"{path}.volumeHandle")
        for field in ("controllerPublish", "controllerExpand", "nodePublish", "nodeExpand"):
            if source.get(f"{field}SecretRef") is not None:
                yield from _validate_secret(source[f"{field}SecretRef"], f"{path}.{field}SecretRef")
    else:
        yield from validate_source(name, source, path)
        secret = source.get("secretRef")
        if name in ("cinder", "storageos") and secret is not None and not secret.get("namespace"):
            yield required(f"{path}.secretRef.namespace")


def _validate_secret(reference: Object, path: str) -> Iterable[FieldError]:
    for field, check in (("name", names.subdomain), ("namespace", names.label)):
        value = reference.get(field) or ""
        if value:
            yield from checks.complaints(f"{path}.{field}", value, check(value))
        else:
            yield required(f"{path}.{field}")


def _validate_classes(spec: Object, path: str, inline: bool) -> Iterable[FieldError]:
    if spec.get("storageClassName") and inline:
        yield forbidden_field(f"{path}.storageClassName", f"may not be specified {_INLINE}")
    elif spec.get("storageClassName"):
        name = spec["storageClassName"]
        yield from checks.complaints(f"{path}.storageClassName", name, names.subdomain(name))
    if inline and spec.get("volumeMode", "Filesystem") != "Filesystem":
        yield forbidden_field(f"{path}.volumeMode", f"may not specify volumeMode other than Filesystem {_INLINE}")
    elif spec.get("volumeMode") is not None:
        yield from checks.supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    attributes = spec.get("volumeAttributesClassName")
    if attributes is None or inline:
        return
    if attributes:
        yield from checks.complaints(f"{path}.volumeAttributesClassName", attributes, names.subdomain(attributes))
    else:
        yield required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
    if spec.get("csi") is None:
        yield required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    """The source is fixed (a secret for expansion may be added), so are mode and, once set, node affinity."""
    yield from _validate(new)  # once more
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    source, source_before = (
        {name: dict(holder[name]) for name in _SOURCES if holder.get(name) is not None} for holder in (spec, before)
    )
    if "csi" in source and "csi" in source_before and source_before["csi"].get("controllerExpandSecretRef") is None:
        source["csi"].pop("controllerExpandSecretRef", None)
    if not metadata.same(source, source_before):
        text = "spec.persistentvolumesource is immutable after creation"
        difference = differences.diff(source_before, source)
        yield forbidden_field("spec.persistentvolumesource", f"{text}\n{difference}")
    yield from metadata.immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    affinity, affinity_before = spec.get("nodeAffinity"), before.get("nodeAffinity")
    if affinity_before is not None and not metadata.same(affinity, affinity_before):
        text = f"{metadata.IMMUTABLE}, except for updating from beta label to GA"
        terms = internal_terms(((affinity or {}).get("required") or {}).get("nodeSelectorTerms") or ())
        shown = None if affinity is None else {"Required": {"NodeSelectorTerms": terms or None}}
        yield invalid_value("nodeAffinity", shown, text)
    attributes = spec.get("volumeAttributesClassName")
    if attributes is None and before.get("volumeAttributesClassName") is not None:
        yield forbidden_field("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


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


_ANNOTATIONS = {
    "volume.beta.kubernetes.io/storage-class": 'deprecated since v1.8; use "storageClassName" attribute instead',
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}
_DEPRECATED = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")


def _warn(new: Object, _old: Object | None, _minor: int) -> Iterator[str]:
    spec = new.get("spec") or {}
    for key, text in _ANNOTATIONS.items():
        if key in (new["metadata"].get("annotations") or {}):
            yield f"metadata.annotations[{key}]: {text}"
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "Instead, the recommended approach is to use dynamic provisioning."
        yield f"spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. {text}"
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        path = f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]"
        yield from nodelabels.term_warnings(term, path)
    for field in _DEPRECATED:
        if spec.get(field) is not None:
            name, text = warnings.VOLUMES[field]
            yield f"spec.{name}: {text}"


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=lifecycle.keep_status,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    status=True,
    returns_deleted=True,
    cells=_cells,
    warn=_warn,
)
