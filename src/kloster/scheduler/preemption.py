"""Which pods of lower priority have to leave so that a pod fits.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/. On each node all pods of lower
priority are taken away in thought; if the pod fits then, as many as possible are put back, the important ones
first. Of the nodes the one whose victims matter least is chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.placement.resources import add, pod_requests, subtract
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo, Snapshot

Feasible = Callable[[Cycle, Iterable[NodeInfo]], tuple[list[NodeInfo], Counter[str]]]


@dataclass(frozen=True, slots=True)
class Victims:
    """The node to be freed and the pods that have to go."""

    node: str
    pods: tuple[Object, ...]


def priority(pod: Object) -> int:
    return int(pod["spec"].get("priority") or 0)


def choose(pod: Object, snapshot: Snapshot, feasible: Feasible) -> Victims | None:
    """The least harmful set of victims, or None if nothing helps or pods are already leaving for this one."""
    if pod["spec"].get("preemptionPolicy") == "Never" or priority(pod) <= 0:
        return None
    candidates = [found for info in snapshot.ready() if (found := _on(pod, snapshot, info, feasible)) is not None]
    if any(not one.pods for one in candidates):
        return None
    return min(candidates, key=_harm, default=None)


def _harm(victims: Victims) -> tuple[int, int, int]:
    priorities = [priority(one) for one in victims.pods]
    return max(priorities), sum(priorities), len(priorities)


def _on(pod: Object, snapshot: Snapshot, info: NodeInfo, feasible: Feasible) -> Victims | None:
    lower = [one for one in info.pods.values() if priority(one) < priority(pod)]
    if not lower:
        return None
    trial = _without(info, lower)

    def fits() -> bool:
        return bool(feasible(Cycle(pod, snapshot), [trial])[0])

    if not fits():
        return None
    victims: list[Object] = []
    for other in sorted(lower, key=priority, reverse=True):
        _put_back(trial, other)
        if not fits():
            _take(trial, other)
            victims.append(other)
    leaving = [one for one in victims if one["metadata"].get("deletionTimestamp")]
    return Victims(info.name, tuple(one for one in victims if one not in leaving))


def _without(info: NodeInfo, pods: Iterable[Object]) -> NodeInfo:
    trial = NodeInfo(info.name)
    trial.node, trial.allocatable = info.node, info.allocatable
    trial.pods, trial.requested = dict(info.pods), dict(info.requested)
    for one in pods:
        _take(trial, one)
    return trial


def _take(info: NodeInfo, pod: Object) -> None:
    del info.pods[pod["metadata"]["uid"]]
    subtract(info.requested, {**pod_requests(pod), "pods": 1})


def _put_back(info: NodeInfo, pod: Object) -> None:
    info.pods[pod["metadata"]["uid"]] = pod
    add(info.requested, {**pod_requests(pod), "pods": 1})
