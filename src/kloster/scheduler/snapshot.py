"""What every node holds, kept current by changes instead of being computed for each pod."""

from __future__ import annotations

from collections.abc import Mapping

from kloster.apimachinery import Object
from kloster.client.api import Change, Source
from kloster.client.resources import NAMESPACES, NODES, PODS
from kloster.placement.affinity import required_terms
from kloster.placement.resources import Amounts, add, amounts, pod_requests, subtract
from kloster.workloads import pods

_METADATA = ("name", "namespace", "uid", "resourceVersion", "generation", "labels", "deletionTimestamp")
_SPEC = ("nodeName", "priority", "hostNetwork", "overhead", "resources", "affinity")
_CONTAINER = ("name", "resources", "ports", "restartPolicy")


def essence(pod: Object) -> Object:
    """The pod with nothing but what placing others looks at: it stays in memory as long as the pod runs."""
    spec = _picked(pod["spec"], _SPEC)
    for part in ("containers", "initContainers"):
        if pod["spec"].get(part):
            spec[part] = [_picked(container, _CONTAINER) for container in pod["spec"][part]]
    return {**_picked(pod, ("apiVersion", "kind")), "metadata": _picked(pod["metadata"], _METADATA), "spec": spec}


def _picked(whole: Object, keys: tuple[str, ...]) -> Object:
    return {key: whole[key] for key in keys if whole.get(key)}


class NodeInfo:
    """A node with its pods by UID, and what is requested in sum (``pods`` counts them)."""

    __slots__ = ("allocatable", "name", "node", "pods", "requested")

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Object | None = None
        self.allocatable: Amounts = {}
        self.pods: dict[str, Object] = {}
        self.requested: Amounts = {"pods": 0}

    @property
    def labels(self) -> Mapping[str, str]:
        found: Mapping[str, str] = (self.node or {}).get("metadata", {}).get("labels") or {}
        return found


class Snapshot:
    """All nodes of one cluster. `close` ends its subscriptions.

    repelling   pods that keep others away (required anti-affinity), by UID, with their node: few, so that nobody has to
                look through all pods for them
    """

    def __init__(self, source: Source) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.repelling: dict[str, tuple[Object, NodeInfo]] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._cancel = [
            source.subscribe(NODES, self._node_changed),
            source.subscribe(PODS, self._pod_changed),
            source.subscribe(NAMESPACES, self._namespace_changed),
        ]

    def close(self) -> None:
        for cancel in self._cancel:
            cancel()

    def ready(self) -> list[NodeInfo]:
        """Nodes that exist (pods may be known before their node)."""
        return [info for info in self.nodes.values() if info.node is not None]

    def assume(self, pod: Object, node: str) -> None:
        """Count a pod that is being bound, before its binding is seen."""
        self._put({**pod, "spec": {**pod["spec"], "nodeName": node}})

    def _info(self, name: str) -> NodeInfo:
        return self.nodes.setdefault(name, NodeInfo(name))

    def _node_changed(self, change: Change) -> None:
        info = self._info(change.object["metadata"]["name"])
        info.node = change.new
        info.allocatable = amounts((change.new or {}).get("status", {}).get("allocatable"))
        if change.new is None and not info.pods:
            del self.nodes[info.name]

    def _pod_changed(self, change: Change) -> None:
        if change.new is None or pods.is_terminal(change.new):
            self.drop(change.object)
        elif change.new["spec"].get("nodeName"):
            self._put(change.new)

    def _namespace_changed(self, change: Change) -> None:
        name = change.object["metadata"]["name"]
        if change.new is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = change.new["metadata"].get("labels") or {}

    def _put(self, whole: Object) -> None:
        pod = essence(whole)
        info = self._info(pod["spec"]["nodeName"])
        uid = pod["metadata"]["uid"]
        held = info.pods.get(uid)
        info.pods[uid] = pod
        if held is not None and held["metadata"].get("generation") == pod["metadata"].get("generation"):
            return
        if any(required_terms(pod, "podAntiAffinity")):
            self.repelling[uid] = (pod, info)
        if held is not None:  # resized
            subtract(info.requested, {**pod_requests(held), "pods": 1})
        add(info.requested, {**pod_requests(pod), "pods": 1})

    def drop(self, pod: Object) -> None:
        """A pod ended, left, or could not be bound after all."""
        uid = pod["metadata"]["uid"]
        self.repelling.pop(uid, None)
        for info in self.nodes.values() if not pod["spec"].get("nodeName") else (self._info(pod["spec"]["nodeName"]),):
            held = info.pods.pop(uid, None)
            if held is not None:
                subtract(info.requested, {**pod_requests(held), "pods": 1})
                return
