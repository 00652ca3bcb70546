"""What to do about a StatefulSet's pods next. Pure.

With pod management *OrderedReady* one thing happens at a time: create in ascending order, each pod available before
the next; then delete what is too much in descending order; then replace pods of old revisions in descending order.
With *Parallel* the first two happen at once; replacing stays ordered.
https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#deployment-and-scaling-guarantees
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kloster.apimachinery import Object
from kloster.controllers.statefulsets import identity
from kloster.workloads import pods


@dataclass(slots=True)
class Plan:
    """Ordinals to create (with the revision), pods to delete, pods whose claims or labels are to be checked."""

    create: list[tuple[int, str]] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    check: list[Object] = field(default_factory=list)


def is_available(pod: Object, minimum: int, now: float) -> bool:
    return pods.phase(pod) == "Running" and pods.is_available(pod, minimum, now)


def is_healthy(pod: Object | None, minimum: int, now: float) -> bool:
    return pod is not None and not pods.is_deleting(pod) and is_available(pod, minimum, now)


def revision_for(stateful_set: Object, number: int, current: str, update: str) -> str:
    """A pod below the partition (or, without one, below the count of current replicas) keeps the current revision."""
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate")
    index = number - identity.start(stateful_set)
    if strategy.get("type", "RollingUpdate") == "RollingUpdate" and rolling is None:
        keep = index < int((stateful_set.get("status") or {}).get("currentReplicas") or 0)
    else:
        keep = index < int((rolling or {}).get("partition") or 0)
    return current if keep else update


def plan(stateful_set: Object, everything: Sequence[Object], current: str, update: str, now: float) -> Plan:
    spec = stateful_set["spec"]
    minimum = int(spec.get("minReadySeconds") or 0)
    ordered = spec.get("podManagementPolicy", "OrderedReady") != "Parallel"
    by_ordinal = {identity.ordinal(stateful_set, pod): pod for pod in everything}
    first = identity.start(stateful_set)
    wanted = range(first, first + identity.replicas(stateful_set))
    condemned = [
        by_ordinal[number] for number in sorted(by_ordinal, reverse=True) if number >= 0 and number not in wanted
    ]
    found = Plan()
    for number in wanted:
        pod = by_ordinal.get(number)
        if pod is None:
            found.create.append((number, revision_for(stateful_set, number, current, update)))
        elif pods.is_terminal(pod):
            if not pods.is_deleting(pod):
                found.delete.append(pod)
        else:
            found.check.append(pod)
            if is_healthy(pod, minimum, now):
                continue
        if ordered:
            return found
    unavailable = [by_ordinal.get(number) for number in wanted if not is_healthy(by_ordinal.get(number), minimum, now)]
    unavailable += [pod for pod in reversed(condemned) if not is_healthy(pod, minimum, now)]
    for pod in condemned:
        if pods.is_deleting(pod):
            if ordered:
                return found
            continue
        if ordered and not is_available(pod, minimum, now) and pod is not unavailable[0]:
            return found
        found.delete.append(pod)
        if ordered:
            return found
    _replace(stateful_set, by_ordinal, update, minimum, now, found)
    return found


def _replace(
    stateful_set: Object, by_ordinal: dict[int, Object], update: str, minimum: int, now: float, found: Plan
) -> None:
    """Delete the highest pod that is not of the update revision, once all above it are available."""
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") == "OnDelete":
        return
    first = identity.start(stateful_set)
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    for number in range(first + identity.replicas(stateful_set) - 1, first + partition - 1, -1):
        pod = by_ordinal.get(number)
        if pod is None:
            return
        if identity.revision(pod) != update and not pods.is_deleting(pod):
            if pod not in found.delete:
                found.delete.append(pod)
            return
        if not is_healthy(pod, minimum, now):
            return


def status_of(
    stateful_set: Object, everything: Sequence[Object], current: str, update: str, collisions: int, now: float
) -> Object:
    """Counts by revision; when all pods are of the update revision and ready, it becomes the current one."""
    minimum = int(stateful_set["spec"].get("minReadySeconds") or 0)
    known = [pod for pod in everything if identity.ordinal(stateful_set, pod) >= 0]
    ready = [pod for pod in known if pods.phase(pod) == "Running" and pods.is_ready(pod)]
    living = [pod for pod in known if not pods.is_deleting(pod)]
    counts = {
        "readyReplicas": len(ready),
        "currentReplicas": sum(identity.revision(pod) == current for pod in living),
        "updatedReplicas": sum(identity.revision(pod) == update for pod in living),
    }
    wanted = identity.replicas(stateful_set)
    strategy = (stateful_set["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
    if strategy == "RollingUpdate" and wanted == len(known) == len(ready) == counts["updatedReplicas"]:
        current = update
        counts["currentReplicas"] = counts["updatedReplicas"]
    status: Object = {
        "observedGeneration": stateful_set["metadata"].get("generation"),
        "replicas": len(known),
        "availableReplicas": sum(is_available(pod, minimum, now) for pod in ready),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collisions,
    }
    status.update({name: count for name, count in counts.items() if count})
    conditions = (stateful_set.get("status") or {}).get("conditions")
    if conditions:
        status["conditions"] = conditions
    return status
