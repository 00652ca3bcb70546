"""Volume mounts and block devices of a container, which refer to the pod's volumes.

Source: https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, not_found_value, required
from kloster.kinds import checks
from kloster.kinds.podspec import paths

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def validate_mounts(container: Object, volumes: dict[str, Object], path: str) -> Iterable[FieldError]:
    devices = {
        device.get("name") or "": device.get("devicePath") or "" for device in container.get("volumeDevices") or ()
    }
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at, name, target = f"{path}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{at}.name")
        if name not in volumes:
            yield not_found_value(f"{at}.name", name)
        if not target:
            yield required(f"{at}.mountPath")
        if target in seen:
            yield invalid_value(f"{at}.mountPath", target, "must be unique")
        seen.add(target)
        if name in devices:
            yield invalid_value(f"{at}.name", name, "must not already exist in volumeDevices")
        if target in devices.values():
            yield invalid_value(f"{at}.mountPath", target, "must not already exist as a path in volumeDevices")
        yield from _validate_sub_path(mount, at, path)
        yield from _validate_propagation(mount, container, path)


def _validate_sub_path(mount: Object, at: str, path: str) -> Iterable[FieldError]:
    plain, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    if plain:
        yield from paths.validate_descending(plain, f"{path}.subPath")
    if expression:
        if plain:
            text = "subPathExpr and subPath are mutually exclusive"
            yield invalid_value(f"{at}.subPathExpr", expression, text)
        yield from paths.validate_descending(expression, f"{path}.subPathExpr")


def _validate_propagation(mount: Object, container: Object, path: str) -> Iterable[FieldError]:
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None:
        yield from checks.supported(f"{path}.mountPropagation", propagation, _PROPAGATION)
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            text = "Bidirectional mount propagation is available only to privileged containers"
            yield forbidden_field(f"{path}.mountPropagation", text)
    if recursive is None:
        return
    at = f"{path}.recursiveReadOnly"
    yield from checks.supported(at, recursive, _RECURSIVE)
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            yield forbidden_field(at, "may only be specified when readOnly is true")
        if propagation not in (None, "None"):
            yield forbidden_field(at, "may only be specified when mountPropagation is None or not specified")


def validate_devices(container: Object, volumes: dict[str, Object], path: str) -> Iterable[FieldError]:
    mounts = {mount.get("name") or "": mount.get("mountPath") or "" for mount in container.get("volumeMounts") or ()}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        at, name, target = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        if not name:
            yield required(f"{at}.name")
        if name in seen_names:
            yield invalid_value(f"{at}.name", name, "must be unique")
        volume = volumes.get(name)
        if volume is None:
            yield not_found_value(f"{at}.name", name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid_value(f"{at}.name", name, text)
        if not target:
            yield required(f"{at}.devicePath")
        if target in seen_paths:
            yield invalid_value(f"{at}.devicePath", target, "must be unique")
        if target and paths.validate_no_backsteps(target, path):
            yield invalid_value(f"{at}.devicePath", target, "can not contain backsteps ('..')")
        else:
            seen_paths.add(target)
        if name in mounts:
            yield invalid_value(f"{at}.name", name, "must not already exist in volumeMounts")
        if target in mounts.values():
            yield invalid_value(f"{at}.devicePath", target, "must not already exist as a path in volumeMounts")
        if name:
            seen_names.add(name)
