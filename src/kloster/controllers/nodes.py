"""node-lifecycle-controller: which nodes are alive, and what that means for pods.

A node whose lease was not renewed for 50 s (40 s until 1.31) is no longer believed: its conditions become Unknown. They
become taints: a node that is not ready repels new pods (NoSchedule) and, through NoExecute taints, evicts those that
do not tolerate it, after their tolerationSeconds. Pods on such a node are marked not ready, so that services leave
them out. A controller that has just started gives every node the whole grace period: it cannot know whether the node
was silent or nobody was listening.

Only clusters with nodes of their own run it (the embedded host): a virtual cluster's nodes are views of the host's.
Where a test has lost a node for its cluster (`workloads.lostnodes`), `LOST` does the same there with that node alone.
If all nodes are lost upstream evicts nobody, since then it may be the control plane that is cut off; `LOST` does, as if
there were others. When the cluster's time was moved on, it counts from when it would have noticed.
Source: https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller and
https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.aio.clock import parse_rfc3339, rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import LEASES, NODES, PODS
from kloster.placement.taints import tolerates
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import lostnodes

GRACE = 50.0
OLD_GRACE = {"1.31": 40.0}
MONITOR = 5.0
FIRST_SEEN = "node-lifecycle first seen"
PLANNED = "node-lifecycle planned evictions"
DOUBTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
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
    return await _look_after(context, node, now if _silent(context, node, now) else None, now)


async def reconcile_lost(context: Context, key: Key) -> Result | None:
    node = context.source.get(NODES, "", key.name)
    since = lostnodes.silent_since(node)
    if node is None or since is None:
        _reprieve(context, key.name)
        return None
    now, due = context.clock.now(), since + _grace(context)
    if now < due:
        return Result(due - now)
    return await _look_after(context, node, min(now, due + MONITOR), now)


def _grace(context: Context) -> float:
    return OLD_GRACE.get(str(context.settings.get("minor", "")), GRACE)


async def _look_after(context: Context, node: Object, doubted: float | None, now: float) -> Result:
    """What follows from the node's conditions, and from nothing having been heard of it since some while: `doubted` is
    when that was noticed."""
    if doubted is not None:
        node = await _doubt(context, node, doubted)
    taints = wanted_taints(node, now if doubted is None else doubted)
    metadata = node["metadata"]
    if taints != (node["spec"].get("taints") or []):
        patch = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "spec": {"taints": taints or None},
        }
        await context.client.patch(NODES, "", metadata["name"], patch)
    after = await _evict(context, metadata["name"], taints, now)
    return Result(MONITOR if after is None else min(after, MONITOR))


def _silent(context: Context, node: Object, now: float) -> bool:
    """Whether the node's lease is older than the grace period."""
    name = node["metadata"]["name"]
    first: dict[str, float] = context.memory.setdefault(FIRST_SEEN, {})
    lease = context.source.get(LEASES, LEASE_NAMESPACE, name)
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    heard = max(parse_rfc3339(renewed) if renewed else 0.0, first.setdefault(name, now))
    return now - heard > _grace(context)


def unknown_conditions(conditions: Sequence[Object], created: str, now: float) -> list[Object]:
    """A node's conditions when nothing is heard of it any longer; those that it never told are added."""
    found = []
    for one in conditions:
        if one["type"] in DOUBTED and one["status"] != "Unknown":
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            one = {**one, "status": "Unknown", "reason": reason, "message": message, "lastTransitionTime": rfc3339(now)}
        found.append(one)
    told = {one["type"] for one in found}
    return found + [
        {
            "type": type,
            "status": "Unknown",
            "lastHeartbeatTime": created,
            "lastTransitionTime": rfc3339(now),
            "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.",
        }
        for type in DOUBTED
        if type not in told
    ]


async def _doubt(context: Context, node: Object, now: float) -> Object:
    """Set the node's conditions to Unknown and its pods to not ready."""
    conditions = (node.get("status") or {}).get("conditions") or []
    metadata = node["metadata"]
    wanted = unknown_conditions(conditions, metadata["creationTimestamp"], now)
    if wanted == conditions:
        return node
    was_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    name = metadata["name"]
    patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": wanted}}
    node = await context.client.patch(NODES, "", name, patch, subresource="status")
    if was_ready:
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
        return
    context.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")


async def _evict(context: Context, node: str, taints: list[Object], now: float) -> float | None:
    """Delete the pods whose time has come; seconds until the next one's."""
    if not any(one["effect"] == "NoExecute" for one in taints):
        return None
    soonest: float | None = None
    planned: dict[str, Object] = context.memory.setdefault(PLANNED, {}).setdefault(node, {})
    for pod in _pods(context, node):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        left = evict_in(pod, taints, now)
        if left is None:
            continue
        if left > 0:
            planned[pod["metadata"]["uid"]] = pod
            soonest = left if soonest is None else min(soonest, left)
            continue
        planned.pop(pod["metadata"]["uid"], None)
        _say(context, pod, "Marking for deletion")
        await _remove(context, pod, now)
    return soonest


async def _remove(context: Context, pod: Object, now: float) -> None:
    """Delete a pod and say why in its status."""
    metadata = pod["metadata"]
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastTransitionTime": rfc3339(now),
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
    place = metadata["namespace"], metadata["name"]
    try:
        await context.client.patch(PODS, *place, patch, type="strategic", subresource="status")
        await context.client.delete(PODS, *place, uid=metadata["uid"])
    except StatusError as error:
        if error.code not in (404, 409):
            raise


def _reprieve(context: Context, node: str) -> None:
    """The node is there again: the pods that it has kept may stay."""
    for uid, pod in context.memory.get(PLANNED, {}).pop(node, {}).items():
        metadata = pod["metadata"]
        present = context.source.get(PODS, metadata["namespace"], metadata["name"])
        if (
            present is not None
            and present["metadata"]["uid"] == uid
            and not present["metadata"].get("deletionTimestamp")
        ):
            _say(context, present, "Cancelling deletion of")


def _say(context: Context, pod: Object, what: str) -> None:
    text = f"{what} Pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
    context.recorder.for_component("taint-eviction-controller").event(pod, "Normal", "TaintManagerEviction", text)


def _lost_or_back(change: Change) -> bool:
    return any(lostnodes.silent_since(one) is not None for one in (change.old, change.new))


CONTROLLER = Controller("node-lifecycle-controller", (Watch(NODES),), reconcile, component="node-controller")
LOST = Controller(
    "node-lifecycle-controller", (Watch(NODES, relevant=_lost_or_back),), reconcile_lost, component="node-controller"
)
