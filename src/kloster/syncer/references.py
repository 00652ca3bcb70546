"""Which ConfigMaps, Secrets and claims the pods of a namespace refer to: only those cross to the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kloster.apimachinery import Object
from kloster.client.api import Change

ENDED = ("Succeeded", "Failed")


def of_pod(pod: Object) -> Iterator[tuple[str, str]]:
    """("ConfigMap" | "Secret", name) for everything that `pod` refers to."""
    spec = pod["spec"]
    for one in spec.get("imagePullSecrets") or ():
        yield "Secret", one["name"]
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _of_container(container)


def _of_volume(volume: Object) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield "ConfigMap", volume["configMap"].get("name", "")
    if "secret" in volume:
        yield "Secret", volume["secret"].get("secretName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "configMap" in source:
            yield "ConfigMap", source["configMap"].get("name", "")
        if "secret" in source:
            yield "Secret", source["secret"].get("name", "")


def _of_container(container: Object) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        if "configMapRef" in source:
            yield "ConfigMap", source["configMapRef"].get("name", "")
        if "secretRef" in source:
            yield "Secret", source["secretRef"].get("name", "")
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom") or {}
        if "configMapKeyRef" in origin:
            yield "ConfigMap", origin["configMapKeyRef"].get("name", "")
        if "secretKeyRef" in origin:
            yield "Secret", origin["secretKeyRef"].get("name", "")


def refers(pods: Iterable[Object], kind: str, name: str) -> bool:
    """Whether one of `pods` that has not ended refers to the ConfigMap or Secret."""
    wanted = (kind, name)
    return any(wanted in of_pod(pod) for pod in pods if not _ended(pod))


def changed(change: Change, kind: str) -> Iterator[tuple[str, str]]:
    """(namespace, name) of what is referred to by a pod that came, went or ended; other changes do not matter."""
    if change.old is not None and change.new is not None and _ended(change.old) == _ended(change.new):
        return
    namespace = change.object["metadata"].get("namespace", "")
    for name in {name for found, name in of_pod(change.object) if found == kind}:
        yield namespace, name


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ENDED
