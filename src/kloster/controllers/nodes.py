"""node-lifecycle-controller: which nodes are alive, and what that means for pods.

A node whose lease was not renewed for 40 s is no longer believed: its Ready condition becomes Unknown. Conditions
become taints: a node that is not ready repels new pods (NoSchedule) and, through NoExecute taints, evicts those that
do not tolerate it, after their tolerationSeconds. Pods on such a node are marked not ready, so that services leave
them out. A controller that has just started gives every node the whole grace period: it cannot know whether the node
was silent or nobody was listening.

Only clusters with nodes of their own run it (the embedded host): a virtual cluster's nodes are views of the host's.
Source: https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller and
https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.aio.clock import parse_rfc3339, rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import LEASES, NODES, PODS
from kloster.placement.taints import tolerates
from kloster.runtime.api import Context, Controller, Key, Result, Watch

GRACE = 40.0
MONITOR = 5.0
FIRST_SEEN = "node-lifecycle first seen"
LEASE_NAMESPACE = "kube-node-lease"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
MANAGED = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURE.values()})


def wanted_taints(node: Object, now: float) -> list[Object]:
    """The node's taints as its conditions ask for; taints of others stay, in front and as they are."""
    old = node["spec"].get("taints") or []
    wanted = [one for one in old if one["key"] not in MANAGED]
    status = {one["type"]: one["status"] for one in (node.get("status") or {}).get("conditions") or ()}
    keys = [key for type, key in PRESSURE.items() if status.get(type) == "True"]
    if node["spec"].get("unschedulable"):
        keys.append(UNSCHEDULABLE)
    unready = {"True": "", "False": NOT_READY}.get(status.get("Ready", "False"), UNREACHABLE)
    for key in [unready, *keys] if unready else keys:
        wanted.append(_kept(old, key, "NoSchedule", now))
    if unready:
        wanted.append(_kept(old, unready, "NoExecute", now))
    return wanted


def _kept(old: list[Object], key: str, effect: str, now: float) -> Object:
    for one in old:
        if (one["key"], one["effect"]) == (key, effect):
            return one
    return {"key": key, "effect": effect, "timeAdded": rfc3339(now)}


def evict_in(pod: Object, taints: Iterable[Object], now: float) -> float | None:
    """Seconds until `pod` must go because of NoExecute taints (0: now), None if it may stay."""
    soonest: float | None = None
    for taint in taints:
        if taint["effect"] != "NoExecute":
            continue
        matching = [one for one in pod["spec"].get("tolerations") or () if tolerates(one, taint)]
        if not matching:
            return 0.0
        limits = [one["tolerationSeconds"] for one in matching if one.get("tolerationSeconds") is not None]
        if len(limits) == len(matching):
            since = parse_rfc3339(taint["timeAdded"]) if taint.get("timeAdded") else now
            left = max(0.0, since + max(0, min(limits)) - now)
            soonest = left if soonest is None else min(soonest, left)
    return soonest


async def reconcile(context: Context, key: Key) -> Result | None:
    node = context.source.get(NODES, "", key.name)
    if node is None:
        return None
    now = context.clock.now()
    if _silent(context, node, now):
        node = await _doubt(context, node, now)
    taints = wanted_taints(node, now)
    if taints != (node["spec"].get("taints") or []):
        metadata = node["metadata"]
        patch = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "spec": {"taints": taints or None},
        }
        await context.client.patch(NODES, "", key.name, patch)
    after = await _evict(context, key.name, taints, now)
    return Result(MONITOR if after is None else min(after, MONITOR))


def _silent(context: Context, node: Object, now: float) -> bool:
    """Whether the node's lease is older than the grace period."""
    name = node["metadata"]["name"]
    first: dict[str, float] = context.memory.setdefault(FIRST_SEEN, {})
    lease = context.source.get(LEASES, LEASE_NAMESPACE, name)
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    return now - max(parse_rfc3339(renewed) if renewed else 0.0, first.setdefault(name, now)) > GRACE


async def _doubt(context: Context, node: Object, now: float) -> Object:
    """Set the Ready condition to Unknown and the node's pods to not ready."""
    conditions = (node.get("status") or {}).get("conditions") or []
    if any(one["type"] == "Ready" and one["status"] == "Unknown" for one in conditions):
        return node
    ready = {
        "type": "Ready",
        "status": "Unknown",
        "lastHeartbeatTime": next((one["lastHeartbeatTime"] for one in conditions if one["type"] == "Ready"), None),
        "lastTransitionTime": rfc3339(now),
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
    }
    name = node["metadata"]["name"]
    others = [one for one in conditions if one["type"] != "Ready"]
    patch = {"metadata": {"uid": node["metadata"]["uid"]}, "status": {"conditions": [*others, ready]}}
    node = await context.client.patch(NODES, "", name, patch, subresource="status")
    context.recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
    for pod in _pods(context, name):
        await _mark(context, pod, now)
    return node


def _pods(context: Context, node: str) -> list[Object]:
    return [pod for pod in context.source.list(PODS) if pod["spec"].get("nodeName") == node]


async def _mark(context: Context, pod: Object, now: float) -> None:
    conditions = (pod.get("status") or {}).get("conditions") or []
    if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
        return
    changed = [
        {**one, "status": "False", "lastTransitionTime": rfc3339(now)} if one["type"] == "Ready" else one
        for one in conditions
    ]
    metadata = pod["metadata"]
    patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": changed}}
    try:
        await context.client.patch(PODS, metadata["namespace"], metadata["name"], patch, subresource="status")
    except StatusError as error:
        if error.code not in (404, 409):
            raise


async def _evict(context: Context, node: str, taints: list[Object], now: float) -> float | None:
    """Delete the pods whose time has come; seconds until the next one's."""
    if not any(one["effect"] == "NoExecute" for one in taints):
        return None
    soonest: float | None = None
    for pod in _pods(context, node):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        left = evict_in(pod, taints, now)
        if left is None:
            continue
        if left > 0:
            soonest = left if soonest is None else min(soonest, left)
            continue
        metadata = pod["metadata"]
        text = f"Marking for deletion Pod {metadata['namespace']}/{metadata['name']}"
        context.recorder.event(pod, "Normal", "TaintManagerEviction", text)
        try:
            await context.client.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise
    return soonest


CONTROLLER = Controller("node-lifecycle-controller", (Watch(NODES),), reconcile)
