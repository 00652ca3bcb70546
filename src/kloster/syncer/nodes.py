"""Nodes as the tenant sees them: those on which its pods run, without what identifies the host.

The tenant's Node has the host node's name, architecture and capacity, and nothing of its addresses, provider, other
labels, taints or images. It is written when the first pod of the tenant runs there and when something that is shown
changes; heartbeats of the host do not reach the tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import NODES, PODS
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.syncer.engine import Syncer

SHOWN_LABELS = (
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "kubernetes.io/hostname",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
)


def node_controller(syncer: Syncer) -> Controller:
    """Keeps the tenant's Node objects. Keys are node names."""

    def of_pod(change: Change) -> Iterable[Key]:
        node = change.object["spec"].get("nodeName")
        return [Key("", node)] if node else []

    def moved(change: Change) -> bool:
        if change.old is None or change.new is None:
            return True
        return bool(change.old["spec"].get("nodeName") != change.new["spec"].get("nodeName"))

    def follow_host(context: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
        def changed(change: Change) -> None:
            name = change.object["metadata"]["name"]
            if context.source.get(NODES, "", name) is not None:
                enqueue(Key("", name))

        ends = ExitStack()
        ends.callback(syncer.follow_references(context))
        ends.callback(syncer.hub.source.subscribe(NODES, changed))
        return ends.close

    async def reconcile(context: Context, key: Key) -> Result | None:
        await _reconcile(syncer, context, key.name)
        return None

    watches = (Watch(PODS, of_pod, moved), Watch(NODES))
    return Controller("syncer-nodes", watches, reconcile, start=follow_host)


async def _reconcile(syncer: Syncer, context: Context, name: str) -> None:
    host = syncer.hub.source.get(NODES, "", name)
    present = context.source.get(NODES, "", name)
    if name in syncer.lost(context):
        return  # nothing is heard of it
    used = syncer.references is not None and syncer.references.runs_on(name)
    try:
        if host is None or not used:
            if present is not None:
                await context.client.delete(NODES, "", name, uid=present["metadata"]["uid"])
            return
        if present is None:
            present = await context.client.create(NODES, shown(host))
        patch = _changes(shown(host), present)
        if patch:
            present = await context.client.patch(NODES, "", name, patch)
        status = shown_status(host, context.settings.get("version", ""))
        if _visible(status) != _visible(present.get("status") or {}):
            back = _turn(status, present.get("status") or {}, context.clock.now())
            node = await context.client.patch(NODES, "", name, {"status": status}, subresource="status")
            if back:
                text = f"Node {name} status is now: NodeReady"
                context.recorder.for_component("kubelet").event(node, "Normal", "NodeReady", text)
    except StatusError as error:
        if error.code not in (404, 409):
            raise


def _turn(status: Object, present: Object, now: float) -> bool:
    """Date what has changed since it was last told. Returns whether the node has become ready again."""
    before = {one["type"]: one["status"] for one in present.get("conditions") or ()}
    for one in status["conditions"]:
        if before.get(one["type"], one["status"]) != one["status"]:
            one["lastTransitionTime"] = one["lastHeartbeatTime"] = rfc3339(now)
    return before.get("Ready") == "Unknown" and any(
        one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"]
    )


def _changes(wanted: Object, present: Object) -> Object:
    """A merge patch to what the host says. The tenant may add labels of its own; its taints would mean nothing."""
    patch: Object = {}
    labels = present["metadata"].get("labels") or {}
    changed = {key: value for key, value in wanted["metadata"]["labels"].items() if labels.get(key) != value}
    if changed:
        patch["metadata"] = {"labels": changed}
    spec = {
        field: wanted["spec"].get(field)
        for field in ("unschedulable", "taints")
        if (wanted["spec"].get(field) or None) != (present["spec"].get(field) or None)
    }
    if spec:
        patch["spec"] = spec
    return patch


def shown(host: Object) -> Object:
    """The tenant's Node. Of the taints those that follow from what is shown: not ready, cordoned."""
    labels = host["metadata"].get("labels") or {}
    spec: Object = {"unschedulable": True} if host["spec"].get("unschedulable") else {}
    taints = [{"key": key, "effect": "NoSchedule"} for key in _conditions_as_taints(host)]
    if taints:
        spec["taints"] = taints
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": host["metadata"]["name"],
            "labels": {key: labels[key] for key in SHOWN_LABELS if key in labels},
        },
        "spec": spec,
    }


def _conditions_as_taints(host: Object) -> Iterable[str]:
    ready = {one["type"]: one["status"] for one in (host.get("status") or {}).get("conditions") or ()}.get("Ready")
    if ready == "Unknown":
        yield "node.kubernetes.io/unreachable"
    elif ready != "True":
        yield "node.kubernetes.io/not-ready"
    if host["spec"].get("unschedulable"):
        yield "node.kubernetes.io/unschedulable"


def shown_status(host: Object, version: str) -> Object:
    """Its status: capacity, readiness, and what kind of machine it is."""
    status = host.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready = next((one for one in status.get("conditions") or () if one["type"] == "Ready"), None)
    moment = (ready or {}).get("lastTransitionTime") or rfc3339(0)
    true = (ready or {}).get("status", "Unknown")
    text = "kubelet is posting ready status" if true == "True" else "the host's node is not ready"
    return {
        "capacity": status.get("capacity") or {},
        "allocatable": status.get("allocatable") or {},
        "conditions": [
            {
                "type": "Ready",
                "status": true,
                "lastHeartbeatTime": moment,
                "lastTransitionTime": moment,
                "reason": "KubeletReady" if true == "True" else "KubeletNotReady",
                "message": text,
            }
        ],
        "addresses": [{"type": "Hostname", "address": host["metadata"]["name"]}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": info.get("kernelVersion", ""),
            "osImage": info.get("osImage", ""),
            "containerRuntimeVersion": info.get("containerRuntimeVersion", ""),
            "kubeletVersion": version or info.get("kubeletVersion", ""),
            "kubeProxyVersion": "",
            "operatingSystem": info.get("operatingSystem", ""),
            "architecture": info.get("architecture", ""),
        },
    }


def _visible(status: Object) -> Object:
    """What is compared: everything but heartbeats."""
    conditions = [(one["type"], one["status"]) for one in status.get("conditions") or ()]
    kept = ("capacity", "allocatable", "nodeInfo", "addresses")
    return {"conditions": conditions, **{key: status.get(key) or {} for key in kept}}
