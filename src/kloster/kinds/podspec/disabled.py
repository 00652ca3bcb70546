"""Fields of features that a minor version has, but not switched on: dropped, unless the stored pod uses them already.

Source: https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/
"""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object

_LISTS = ("initContainers", "containers", "ephemeralContainers")


def _is_sidecar(name: str, container: Object) -> bool:
    return name == "initContainers" and container.get("restartPolicy") == "Always"


def _uses_restart_rules(spec: Object) -> bool:
    return any(
        container.get("restartPolicyRules")
        or (container.get("restartPolicy") is not None and not _is_sidecar(name, container))
        for name in _LISTS
        for container in spec.get(name) or ()
    )


def drop_restart_rules(spec: Object, old: Object | None) -> None:
    """ContainerRestartRules: only sidecars have a restart policy of their own."""
    if old is not None and _uses_restart_rules(old):
        return
    for name in _LISTS:
        for container in spec.get(name) or ():
            container.pop("restartPolicyRules", None)
            if not _is_sidecar(name, container):
                container.pop("restartPolicy", None)


def drop_pod_resources(spec: Object, old: Object | None) -> None:
    """PodLevelResources."""
    if old is None or old.get("resources") is None:
        spec.pop("resources", None)


def _containers(spec: Object) -> Iterator[Object]:
    for name in _LISTS:
        yield from spec.get(name) or ()


def drop_image_volumes(spec: Object, old: Object | None) -> None:
    """ImageVolume: the volumes go with all their mounts."""
    if any(volume.get("image") is not None for volume in (old or {}).get("volumes") or ()):
        return
    volumes = spec.get("volumes") or []
    dropped = {volume.get("name") for volume in volumes if volume.get("image") is not None}
    if not dropped:
        return
    spec["volumes"] = [volume for volume in volumes if volume.get("image") is None]
    for container in _containers(spec):
        if mounts := container.get("volumeMounts"):
            container["volumeMounts"] = [mount for mount in mounts if mount.get("name") not in dropped]


def drop_stop_signals(spec: Object, old: Object | None) -> None:
    """ContainerStopSignals."""
    if any((container.get("lifecycle") or {}).get("stopSignal") is not None for container in _containers(old or {})):
        return
    for container in _containers(spec):
        lifecycle = container.get("lifecycle")
        if lifecycle is not None and lifecycle.pop("stopSignal", None) is not None and not lifecycle:
            del container["lifecycle"]
