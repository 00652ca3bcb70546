"""What a controller wants to know about a pod: does it count, is it ready, which one goes first.

Source of the notions: k8s.io/kubernetes/pkg/controller (FilterActivePods, ActivePodsWithRanks) and
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-down
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import times

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_terminal(pod: Object) -> bool:
    """Its containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_deleting(item: Object) -> bool:
    return "deletionTimestamp" in item["metadata"]


def is_active(pod: Object) -> bool:
    """It counts as a replica: neither ended nor being deleted."""
    return not is_terminal(pod) and not is_deleting(pod)


def condition(item: Object, kind: str) -> Object | None:
    """The condition of that type in an object's status."""
    for found in (item.get("status") or {}).get("conditions") or ():
        if found["type"] == kind:
            return dict(found)
    return None


def is_ready(pod: Object) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def ready_since(pod: Object) -> float | None:
    """When the pod became ready (seconds since the epoch); None if it is not."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    return times.parse(found.get("lastTransitionTime")) or 0.0


def available_at(pod: Object, min_ready_seconds: int) -> float | None:
    """When the pod counts as available: ready for `min_ready_seconds`; None while it is not ready."""
    since = ready_since(pod)
    return None if since is None else since + min_ready_seconds


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    at = available_at(pod, min_ready_seconds)
    return at is not None and (min_ready_seconds == 0 or at <= now)


def next_available(pods: Iterable[Object], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the next ready pod becomes available."""
    waits = [at - now for pod in pods if (at := available_at(pod, min_ready_seconds)) is not None and at > now]
    return min(waits, default=None)


def restarts(pod: Object) -> int:
    """The highest restart count among the containers (upstream compares the highest, not the sum)."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)


def created(item: Object) -> float:
    return times.parse(item["metadata"].get("creationTimestamp")) or 0.0


def deletion_cost(pod: Object) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def first_to_go(pods: Sequence[Object], related: Iterable[Object], now: float) -> list[Object]:
    """The pods in the order in which a smaller number of replicas removes them.

    Unassigned before assigned, pending before running, not ready before ready, cheaper before dearer, on a crowded
    node before on an empty one, recently ready before long ready, often restarted before never, young before old.
    `related` are the pods that crowd the nodes: all of the same owner's owner. Ages count by powers of two.
    """
    crowd = Counter(_node(pod) for pod in related if is_active(pod))

    def order(pod: Object) -> tuple[Any, ...]:
        since = ready_since(pod)
        return (
            bool(_node(pod)),
            _PHASES.get(phase(pod), 1),
            since is not None,
            deletion_cost(pod),
            -crowd[_node(pod)],
            _age(since, now) if since is not None else 0,
            -restarts(pod),
            _age(created(pod), now),
            pod["metadata"].get("uid", ""),
        )

    return sorted(pods, key=order)


def _node(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


def _age(since: float, now: float) -> int:
    nanoseconds = (now - since) * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds >= 1 else 0
