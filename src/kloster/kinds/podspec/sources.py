"""Sources of storage that pods and PersistentVolumes share, from NFS to the old in-tree cloud drivers.

Most rules are "this field is required"; those stand in one table. Source: https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, invalid_value, not_supported, required, too_long
from kloster.kinds import checks, names
from kloster.kinds.podspec import paths

_REQUIRED: dict[str, tuple[str, ...]] = {
    "gitRepo": ("repository",),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "nfs": ("server", "path"),
    "glusterfs": ("endpoints", "path"),
    "persistentVolumeClaim": ("claimName",),
    "rbd": ("monitors", "image"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "flexVolume": ("driver",),
    "azureFile": ("secretName", "shareName"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "scaleIO": ("gateway", "system", "volumeName"),
}

HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)


def validate_source(name: str, source: Object, path: str) -> Iterable[FieldError]:
    """The findings about a source of this kind, in a pod's volume or a PersistentVolume's spec."""
    for field in _REQUIRED.get(name, ()):
        if not source.get(field):
            yield required(f"{path}.{field}")
    check = _MORE.get(name)
    if check is not None:
        yield from check(source, path)


def _host_path(source: Object, path: str) -> Iterable[FieldError]:
    if not source.get("path"):
        yield required(f"{path}.path")
        return
    yield from paths.validate_no_backsteps(source["path"], f"{path}.path")
    if source.get("type") is not None:
        yield from checks.supported(f"{path}.type", source["type"], HOST_PATH_TYPES)


def _git_repo(source: Object, path: str) -> Iterable[FieldError]:
    yield from paths.validate_descending(source.get("directory") or "", f"{path}.directory")


def _partition(source: Object, path: str) -> Iterable[FieldError]:
    partition = source.get("partition") or 0
    if not 0 <= partition <= 255:
        yield invalid_value(f"{path}.partition", partition, names.between(1, 255))


def _nfs(source: Object, path: str) -> Iterable[FieldError]:
    exported = source.get("path") or ""
    if not exported.startswith("/"):
        yield invalid_value(f"{path}.path", exported, "must be an absolute path")


_INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$", re.ASCII).search,
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$").search,
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$").search,
}


_OF_VOLUMES = ("spec.iscsi.", "spec.source.inlineVolumeSpec.iscsi.")
"""Upstream checks those of PersistentVolumes by a function of their own."""


def _initiator(value: str, path: str) -> Iterable[FieldError]:
    check = _INITIATORS.get(value[:3])
    if check is None:
        more = "" if path.startswith(_OF_VOLUMES) else " starting with iqn, eui, or naa"
        yield invalid_value(path, value, f"must be valid format{more}")
    elif not check(value):
        yield invalid_value(path, value, "must be valid format")


def _iscsi(source: Object, path: str) -> Iterable[FieldError]:
    if not source.get("targetPortal"):
        yield required(f"{path}.targetPortal")
    if source.get("iqn"):
        yield from _initiator(source["iqn"], f"{path}.iqn")
    else:
        yield required(f"{path}.iqn")
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        yield invalid_value(f"{path}.lun", lun, names.between(0, 255))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        yield from _initiator(source["initiatorName"], f"{path}.initiatorname")


def _fc(source: Object, path: str) -> Iterable[FieldError]:
    targets, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    if not targets and not ids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and ids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid_value(f"{path}.targetWWNs", targets, text)
    if targets and lun is None:
        yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif targets and not 0 <= (lun or 0) <= 255:
        yield invalid_value(f"{path}.lun", lun, names.between(0, 255))


def _flocker(source: Object, path: str) -> Iterable[FieldError]:
    name, identity = source.get("datasetName"), source.get("datasetUUID")
    if not name and not identity:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and identity:
        yield invalid_value(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if name and "/" in name:
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def _quobyte(source: Object, path: str) -> Iterable[FieldError]:
    registry, text = source.get("registry"), "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        yield required(f"{path}.registry", text)
    elif len(source.get("tenant") or "") >= 65:
        yield required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if pair.count(":") != 1:
                yield invalid_value(f"{path}.registry", registry, text)
    if not source.get("volume"):
        yield required(f"{path}.volume")


def _flex_volume(source: Object, path: str) -> Iterable[FieldError]:
    for key in source.get("options") or ():
        namespace = "." + key.partition("/")[0].lower()
        if namespace.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            yield invalid_value(f"{path}.options[{key}]", key, text)


_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _azure_disk(source: Object, path: str) -> Iterable[FieldError]:
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    if source.get("cachingMode") is not None:
        yield from checks.supported(f"{path}.cachingMode", source["cachingMode"], ("None", "ReadOnly", "ReadWrite"))
    if kind is None:
        return
    yield from checks.supported(f"{path}.kind", kind, ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield not_supported(f"{path}.diskURI", uri, (_MANAGED,))
    elif kind != "Managed" and not uri.startswith("https://"):
        yield not_supported(f"{path}.diskURI", uri, (_BLOB,))


def _cinder(source: Object, path: str) -> Iterable[FieldError]:
    if source.get("secretRef") is not None and not source["secretRef"].get("name"):
        yield required(f"{path}.secretRef.name")


def _storage_os(source: Object, path: str) -> Iterable[FieldError]:
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    if name:
        yield from checks.complaints(f"{path}.volumeName", name, names.label(name))
    else:
        yield required(f"{path}.volumeName")
    if namespace:
        yield from checks.complaints(f"{path}.volumeNamespace", namespace, names.label(namespace))
    yield from _cinder(source, path)


def validate_csi_driver(name: str, path: str) -> Iterable[FieldError]:
    if not name:
        yield required(path)
    if len(name.encode()) > 63:
        yield too_long(path, 63)
    yield from checks.complaints(path, name, names.subdomain(name.lower()))


_MORE: dict[str, Callable[[Object, str], Iterable[FieldError]]] = {
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _partition,
    "awsElasticBlockStore": _partition,
    "nfs": _nfs,
    "iscsi": _iscsi,
    "flocker": _flocker,
    "cinder": _cinder,
    "quobyte": _quobyte,
    "fc": _fc,
    "flexVolume": _flex_volume,
    "azureDisk": _azure_disk,
    "storageos": _storage_os,
}
