"""Which ConfigMaps, Secrets and claims pods refer to: of ConfigMaps and Secrets only those cross to the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change, Source
from kloster.client.resources import PODS
from kloster.workloads.pods import is_terminal


def of_pod(pod: Object) -> Iterator[tuple[str, str]]:
    """("ConfigMap" | "Secret" | "PersistentVolumeClaim", name) for everything that `pod` refers to."""
    spec = pod["spec"]
    for one in spec.get("imagePullSecrets") or ():
        yield "Secret", one.get("name", "")
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)
        if "ephemeral" in volume:
            yield "PersistentVolumeClaim", f"{pod['metadata']['name']}-{volume['name']}"
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _of_container(container)


def _of_volume(volume: Object) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield "ConfigMap", volume["configMap"].get("name", "")
    if "secret" in volume:
        yield "Secret", volume["secret"].get("secretName", "")
    if "persistentVolumeClaim" in volume:
        yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
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


Reference = tuple[str, str, str]
"""(kind, namespace, name) of what a pod refers to."""

PodName = tuple[str, str]


class References:
    """Which living pods refer to what, and which pods run where: kept current by changes, so that nobody has to scan.

    `listen` tells when something is referred to for the first time or not any more; the thousand pods in between do
    not matter to it. Pods that have ended refer to nothing: what they needed may go.
    """

    def __init__(self, source: Source) -> None:
        self._of: dict[PodName, frozenset[Reference]] = {}
        self._by: dict[Reference, dict[PodName, None]] = {}
        self._node: dict[PodName, str] = {}
        self._on: dict[str, int] = {}
        self._listeners: dict[str, list[Callable[[str, str], None]]] = {}
        self._cancel = source.subscribe(PODS, self._changed)

    def close(self) -> None:
        self._cancel()

    def referrers(self, kind: str, namespace: str, name: str) -> Sequence[PodName]:
        """(namespace, name) of the living pods that refer to it."""
        return tuple(self._by.get((kind, namespace, name), ()))

    def runs_on(self, node: str) -> bool:
        """Whether any pod is bound to the node."""
        return node in self._on

    def listen(self, kind: str, listener: Callable[[str, str], None]) -> Callable[[], None]:
        """Call ``listener(namespace, name)`` when something of `kind` gets its first referrer or loses its last."""
        group = self._listeners.setdefault(kind, [])
        group.append(listener)
        return lambda: group.remove(listener)

    def _changed(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and _same(old, new):
            return
        metadata = change.object["metadata"]
        pod = (metadata["namespace"], metadata["name"])
        living = new is not None and not is_terminal(new)
        self._refer(pod, frozenset((kind, pod[0], name) for kind, name in of_pod(change.object)) if living else NOTHING)
        self._run(pod, "" if new is None else new["spec"].get("nodeName") or "")

    def _refer(self, pod: PodName, wanted: frozenset[Reference]) -> None:
        known = self._of.pop(pod, NOTHING)
        if wanted:
            self._of[pod] = wanted
        for reference in wanted - known:
            group = self._by.setdefault(reference, {})
            group[pod] = None
            if len(group) == 1:
                self._tell(reference)
        for reference in known - wanted:
            group = self._by[reference]
            del group[pod]
            if not group:
                del self._by[reference]
                self._tell(reference)

    def _run(self, pod: PodName, node: str) -> None:
        before = self._node.pop(pod, "")
        if node:
            self._node[pod] = node
        if node == before:
            return
        if node:
            self._on[node] = self._on.get(node, 0) + 1
        if before:
            self._on[before] -= 1
            if not self._on[before]:
                del self._on[before]

    def _tell(self, reference: Reference) -> None:
        for listener in tuple(self._listeners.get(reference[0], ())):
            listener(reference[1], reference[2])


NOTHING: frozenset[Reference] = frozenset()


def _same(old: Object, new: Object) -> bool:
    """Whether nothing has changed that matters here. Every change of a spec raises the generation; binding does not
    in all versions."""
    return (
        is_terminal(old) == is_terminal(new)
        and old["metadata"]["uid"] == new["metadata"]["uid"]
        and old["metadata"].get("generation") == new["metadata"].get("generation")
        and old["spec"].get("nodeName") == new["spec"].get("nodeName")
    )
