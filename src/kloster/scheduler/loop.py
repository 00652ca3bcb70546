"""Decides for one pod at a time, and binds it.

`decide` is pure: it filters the nodes, scores those that remain, and explains itself in upstream's words where none
remains. A pod that fits nowhere may push out pods of lower priority (`preemption`). Otherwise it waits until nodes or
pods change. One controller, keyed by pod; it belongs to the embedded host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PODS, STORAGE_CLASSES
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.scheduler import claims, plugins, preemption
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo, Snapshot
from kloster.workloads import pods, volumes

SCHEDULER_NAME = "default-scheduler"
LOOK_AGAIN = 60.0


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen node, or why there is none."""

    node: str | None
    message: str = ""


def decide(pod: Object, snapshot: Snapshot) -> Placement:
    """Where `pod` goes."""
    cycle = Cycle(pod, snapshot)
    nodes = snapshot.ready()
    fitting, reasons = feasible(cycle, nodes)
    if not fitting:
        return Placement(None, explain(len(nodes), reasons))
    rules = plugins.scores(cycle)
    best = max(fitting, key=lambda info: (_score(cycle, info, rules), -info.requested["pods"]))
    return Placement(best.name)


def feasible(cycle: Cycle, nodes: Iterable[NodeInfo]) -> tuple[list[NodeInfo], Counter[str]]:
    """Nodes that pass all filters, and how often each reason kept one away."""
    rules = plugins.filters(cycle)
    fitting: list[NodeInfo] = []
    reasons: Counter[str] = Counter()
    for info in nodes:
        reason = next((why for rule in rules if (why := rule(cycle, info)) is not None), None)
        if reason is None:
            fitting.append(info)
        else:
            reasons[reason] += 1
    return fitting, reasons


def _score(cycle: Cycle, info: NodeInfo, rules: Iterable[tuple[plugins.Score, int]]) -> float:
    return sum(weight * rule(cycle, info) for rule, weight in rules)


def explain(total: int, reasons: Counter[str]) -> str:
    """As upstream words it: ``0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.``"""
    if not total:
        return "no nodes available to schedule pods"
    parts = sorted(f"{count} {reason}" for reason, count in reasons.items())
    return f"0/{total} nodes are available: {', '.join(parts)}."


def wants_scheduling(pod: Object) -> bool:
    spec = pod["spec"]
    return not (
        spec.get("nodeName")
        or pod["metadata"].get("deletionTimestamp")
        or spec.get("schedulerName", SCHEDULER_NAME) != SCHEDULER_NAME
        or pods.is_terminal(pod)
    )


def scheduler_controller(snapshot: Snapshot) -> Controller:
    """The scheduler of the cluster that `snapshot` belongs to."""
    waiting: dict[Key, None] = {}
    by_claim: dict[Key, set[Key]] = {}  # pods that wait for a claim

    def mine(change: Change) -> bool:
        return change.new is None or wants_scheduling(change.new)

    def retry(_: Change) -> Iterable[Key]:
        return list(waiting)

    def room(change: Change) -> bool:
        """A pod that ends or leaves makes room."""
        if not waiting or not change.object["spec"].get("nodeName"):
            return False
        return change.new is None or pods.is_terminal(change.new)

    def claimed(change: Change) -> Iterable[Key]:
        """A claim has come or been bound."""
        metadata = change.object["metadata"]
        return by_claim.pop(Key(metadata["namespace"], metadata["name"]), ())

    async def reconcile(context: Context, key: Key) -> Result | None:
        pod = context.source.get(PODS, key.namespace, key.name)
        waiting.pop(key, None)
        if pod is None or not wants_scheduling(pod):
            return None
        if pod["spec"].get("schedulingGates"):
            return None
        needed = _claims(context, pod)
        if needed is not claims.NONE:
            for name, _ in volumes.claims_of(pod):
                by_claim.setdefault(Key(key.namespace, name), set()).add(key)
        if needed.problem:
            total = len(snapshot.ready())
            await _unschedulable(context, pod, f"0/{total} nodes are available: {needed.problem}.{_unhelpful(total)}")
            return Result(after=LOOK_AGAIN)
        placement = decide(pod, snapshot)
        if placement.node is not None:
            if needed.delayed:
                await _select_node(context, needed.delayed, placement.node)
                return Result(after=LOOK_AGAIN)
            await _bind(context, snapshot, pod, placement.node)
            return None
        waiting[key] = None
        await _make_room(context, snapshot, pod, placement.message)
        return Result(after=LOOK_AGAIN)

    watches = (
        Watch(PODS, relevant=mine),
        Watch(NODES, retry),
        Watch(PODS, retry, room),
        Watch(PERSISTENT_VOLUME_CLAIMS, claimed),
    )
    return Controller("scheduler", watches, reconcile)


async def _make_room(context: Context, snapshot: Snapshot, pod: Object, message: str) -> None:
    """The pod fits nowhere: say why, and push out others if that helps."""
    victims = preemption.choose(pod, snapshot, feasible)
    await _unschedulable(context, pod, message + ("" if victims is not None else _unhelpful(len(snapshot.ready()))))
    if victims is not None:
        await _preempt(context, pod, victims)


def _unhelpful(total: int) -> str:
    return f" preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling."


def _claims(context: Context, pod: Object) -> claims.Claims:
    namespace, source = pod["metadata"]["namespace"], context.source
    return claims.look(
        pod,
        lambda name: source.get(PERSISTENT_VOLUME_CLAIMS, namespace, name),
        lambda name: source.get(STORAGE_CLASSES, "", name),
    )


async def _select_node(context: Context, delayed: Iterable[Object], node: str) -> None:
    """Tell the provisioner where the volumes are wanted. The pod is bound when they are there."""
    for claim in delayed:
        metadata = claim["metadata"]
        if claims.SELECTED_NODE in (metadata.get("annotations") or {}):
            continue
        patch = {"metadata": {"uid": metadata["uid"], "annotations": {claims.SELECTED_NODE: node}}}
        try:
            await context.client.patch(PERSISTENT_VOLUME_CLAIMS, metadata["namespace"], metadata["name"], patch)
        except StatusError as error:
            if error.code not in (404, 409):
                raise


async def _bind(context: Context, snapshot: Snapshot, pod: Object, node: str) -> None:
    metadata = pod["metadata"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "target": {"kind": "Node", "name": node},
    }
    snapshot.assume(pod, node)
    try:
        await context.client.create_subresource(PODS, metadata["namespace"], metadata["name"], "binding", binding)
    except StatusError as error:
        snapshot.drop(pod)
        if error.code in (404, 409):
            return
        raise
    text = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
    context.recorder.for_component(SCHEDULER_NAME).event(pod, "Normal", "Scheduled", text)


async def _unschedulable(context: Context, pod: Object, message: str) -> None:
    """Record why, once for each new reason."""
    conditions: Sequence[Object] = pod.get("status", {}).get("conditions") or ()
    old = next((one for one in conditions if one["type"] == "PodScheduled"), None)
    if old is not None and old.get("message") == message:
        return
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": (old or {}).get("lastTransitionTime") or rfc3339(context.clock.now()),
    }
    context.recorder.for_component(SCHEDULER_NAME).event(pod, "Warning", "FailedScheduling", message)
    metadata = pod["metadata"]
    patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
    try:
        await context.client.patch(
            PODS, metadata["namespace"], metadata["name"], patch, type="strategic", subresource="status"
        )
    except StatusError as error:
        if error.code not in (404, 409):
            raise


async def _preempt(context: Context, pod: Object, victims: preemption.Victims) -> None:
    for victim in victims.pods:
        metadata = victim["metadata"]
        text = f"Preempted by pod {pod['metadata']['uid']} on node {victims.node}"
        context.recorder.for_component(SCHEDULER_NAME).event(victim, "Normal", "Preempted", text)
        try:
            await context.client.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise
