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


class Uncountable(Exception):
    """A pod's controller cannot be found, so what is expected cannot be told."""


def failed_status(item: Object, message: str, now: float) -> Object:
    """Nothing may be evicted as long as the budget cannot be computed."""
    status = {**(item.get("status") or {}), "disruptionsAllowed": 0}
    generation = item["metadata"].get("generation")
    return _with_condition(status, "False", "SyncFailed", message, generation, now)


def _with_condition(status: Object, value: str, reason: str, message: str, generation: object, now: float) -> Object:
    new: Object = {
        "type": "DisruptionAllowed",
        "status": value,
        "observedGeneration": generation,
        "lastTransitionTime": rfc3339(now),
        "reason": reason,
        "message": message,
    }
    conditions = list(status.get("conditions") or ())
    old = statuses.find(conditions, "DisruptionAllowed")
    if old is not None and old["status"] == value:
        new["lastTransitionTime"] = old.get("lastTransitionTime")
    changed = [new if known is old else known for known in conditions] if old else [*conditions, new]
    return {**status, "conditions": changed}


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
    status["conditions"] = (item.get("status") or {}).get("conditions") or []
    reason = "SufficientPods" if allowed else "InsufficientPods"
    return _with_condition(status, "True" if allowed else "False", reason, "", generation, now)


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
    if any(ownership.controller_of(pod) is None for pod in matching) and _needs_controllers(item["spec"]):
        context.recorder.event(item, "Warning", "UnmanagedPods", _unmanaged(selector))
    try:
        known = _expected(context, key.namespace, matching) if _needs_controllers(item["spec"]) else 0
    except Uncountable as error:
        message = f"Failed to calculate the number of expected pods: {error}"
        context.recorder.event(item, "Warning", "CalculateExpectedPodCountFailed", message)
        status = failed_status(item, str(error), now)
        await statuses.write(context, POD_DISRUPTION_BUDGETS, item, status)
        return None
    expected, wanted = budget(item["spec"], len(matching), known)
    disrupted = still_disrupted(item.get("status") or {}, matching, now)
    healthy = sum(
        pods.is_ready(pod) and not pods.is_deleting(pod) and pod["metadata"]["name"] not in disrupted
        for pod in matching
    )
    status = status_of(item, healthy, wanted, expected, disrupted, now)
    await statuses.write(context, POD_DISRUPTION_BUDGETS, item, status)
    waits = [(times.parse(at) or 0.0) + _DISRUPTED - now for at in disrupted.values()]
    return Result(min(waits, default=None))


def _needs_controllers(spec: Object) -> bool:
    """Shares of what, and how many may be missing: of what the pods' controllers ask for."""
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def _unmanaged(selector: Object) -> str:
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {selectors.text(selector)}) were found to be unmanaged. "
        "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "
        'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
    )


def _expected(context: Context, namespace: str, matching: Sequence[Object]) -> int:
    """The sum of the sizes of all controllers that the pods belong to; a Deployment counts once."""
    sizes: dict[str, int] = {}
    for pod in matching:
        reference = ownership.controller_of(pod)
        if reference is None:
            continue
        owner = _scaled_owner(context, namespace, reference)
        if owner is None:
            raise Uncountable(f'found no controllers for pod "{pod["metadata"]["name"]}"')
        sizes[owner["metadata"]["uid"]] = int(owner["spec"].get("replicas", 1))
    return sum(sizes.values())


def _scaled_owner(context: Context, namespace: str, reference: Object) -> Object | None:
    resource = _SCALED.get(reference["kind"])
    owner = context.source.get(resource, namespace, reference["name"]) if resource is not None else None
    if owner is None or owner["metadata"]["uid"] != reference["uid"]:
        return None
    parent = ownership.controller_of(owner)
    if parent is not None and parent["kind"] == "Deployment":
        found = context.source.get(DEPLOYMENTS, namespace, parent["name"])
        if found is not None and found["metadata"]["uid"] == parent["uid"]:
            return found
    return owner


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
