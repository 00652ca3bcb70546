"""disruption-controller: how many pods of a PodDisruptionBudget may be evicted now.

The eviction subresource reads (and counts down) status.disruptionsAllowed; this keeps it current.
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from kloster.kinds import selector as selectors
from kloster.kinds import times
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import ownership, pods, statuses
from kloster.workloads.amounts import scaled

_DISRUPTED = 120.0  # seconds within which an evicted pod must have gone
_SCALED = {
    "ReplicaSet": REPLICA_SETS,
    "StatefulSet": STATEFUL_SETS,
    "ReplicationController": REPLICATION_CONTROLLERS,
}


def budget(spec: Object, matching: int, expected: int) -> tuple[int, int]:
    """(pods that are expected, of which must be healthy). `expected` is what their controllers ask for."""
    if spec.get("maxUnavailable") is not None:
        return expected, max(0, expected - scaled(spec["maxUnavailable"], expected, up=True))
    minimum = spec.get("minAvailable", 1)
    if isinstance(minimum, int):
        return matching, minimum
    return expected, scaled(minimum, expected, up=True)


def still_disrupted(status: Object, matching: Sequence[Object], now: float) -> dict[str, str]:
    """Evictions that were granted and whose pod is not being deleted yet."""
    known: dict[str, str] = status.get("disruptedPods") or {}
    waiting = {pod["metadata"]["name"] for pod in matching if not pods.is_deleting(pod)}
    return {name: at for name, at in known.items() if name in waiting and (times.parse(at) or 0.0) + _DISRUPTED > now}


def status_of(item: Object, healthy: int, wanted: int, expected: int, disrupted: dict[str, str], now: float) -> Object:
    allowed = max(0, healthy - wanted) if expected > 0 else 0
    generation = item["metadata"].get("generation")
    status: Object = {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": expected,
        "observedGeneration": generation,
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    new: Object = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "observedGeneration": generation,
        "lastTransitionTime": rfc3339(now),
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
    }
    conditions = list((item.get("status") or {}).get("conditions") or ())
    old = statuses.find(conditions, "DisruptionAllowed")
    if old is not None and old["status"] == new["status"]:
        new["lastTransitionTime"] = old.get("lastTransitionTime")
    status["conditions"] = [new if known is old else known for known in conditions] if old else [*conditions, new]
    return status


async def reconcile(context: Context, key: Key) -> Result | None:
    item = context.source.get(POD_DISRUPTION_BUDGETS, *key)
    if item is None or pods.is_deleting(item):
        return None
    selector = item["spec"].get("selector")
    now = context.clock.now()
    matching: list[Object] = []
    if selector is not None:
        everything = context.source.list(PODS, key.namespace)
        matching = [pod for pod in everything if selectors.matches(selector, pod["metadata"].get("labels"))]
    if not matching:
        context.recorder.event(item, "Normal", "NoPods", "No matching pods found")
    expected, wanted = budget(item["spec"], len(matching), _expected(context, key.namespace, matching))
    disrupted = still_disrupted(item.get("status") or {}, matching, now)
    healthy = sum(
        pods.is_ready(pod) and not pods.is_deleting(pod) and pod["metadata"]["name"] not in disrupted
        for pod in matching
    )
    status = status_of(item, healthy, wanted, expected, disrupted, now)
    await statuses.write(context, POD_DISRUPTION_BUDGETS, item, status)
    waits = [(times.parse(at) or 0.0) + _DISRUPTED - now for at in disrupted.values()]
    return Result(min(waits, default=None))


def _expected(context: Context, namespace: str, matching: Sequence[Object]) -> int:
    """The sum of the sizes of all controllers that the pods belong to; a Deployment counts once."""
    sizes: dict[str, int] = {}
    for pod in matching:
        reference = ownership.controller_of(pod)
        resource = _SCALED.get(reference["kind"]) if reference is not None else None
        if reference is None or resource is None:
            continue
        owner = context.source.get(resource, namespace, reference["name"])
        if owner is None or owner["metadata"]["uid"] != reference["uid"]:
            continue
        parent = ownership.controller_of(owner)
        if parent is not None and parent["kind"] == "Deployment":
            found = context.source.get(DEPLOYMENTS, namespace, parent["name"])
            owner = found if found is not None and found["metadata"]["uid"] == parent["uid"] else owner
        sizes[owner["metadata"]["uid"]] = int(owner["spec"].get("replicas", 1))
    return sum(sizes.values())


def _of_pod(context: Context, change: Change) -> Iterable[Key]:
    namespace = change.object["metadata"]["namespace"]
    labels = [item["metadata"].get("labels") for item in (change.old, change.new) if item is not None]
    for item in context.source.list(POD_DISRUPTION_BUDGETS, namespace):
        selector = item["spec"].get("selector")
        if selector is not None and any(selectors.matches(selector, each) for each in labels):
            yield Key(namespace, item["metadata"]["name"])


def _of_owner(context: Context, change: Change) -> Iterable[Key]:
    """A controller was resized: budgets that select its pods."""
    old, new = change.old, change.new
    if old is not None and new is not None and old["spec"].get("replicas") == new["spec"].get("replicas"):
        return
    item = change.object
    namespace = item["metadata"]["namespace"]
    labels = ((item["spec"].get("template") or {}).get("metadata") or {}).get("labels")
    for budget_item in context.source.list(POD_DISRUPTION_BUDGETS, namespace):
        selector = budget_item["spec"].get("selector")
        if selector is not None and selectors.matches(selector, labels):
            yield Key(namespace, budget_item["metadata"]["name"])


CONTROLLER = Controller(
    "disruption-controller",
    (
        Watch(POD_DISRUPTION_BUDGETS),
        Watch(PODS, lookup=_of_pod),
        Watch(DEPLOYMENTS, lookup=_of_owner),
        Watch(STATEFUL_SETS, lookup=_of_owner),
        Watch(REPLICA_SETS, lookup=_of_owner),
        Watch(REPLICATION_CONTROLLERS, lookup=_of_owner),
    ),
    reconcile,
    component="controllermanager",
)
