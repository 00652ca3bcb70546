"""NodeResourcesFit: the node has what the pod requests; emptier nodes are preferred (LeastAllocated)."""

from __future__ import annotations

from kloster.placement.resources import Amounts, pod_requests
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def asked(cycle: Cycle) -> Amounts:
    """The pod's requests, computed once a cycle."""
    found: Amounts | None = cycle.memo.get("fit")
    if found is None:
        found = cycle.memo["fit"] = pod_requests(cycle.pod)
    return found


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    if info.requested["pods"] + 1 > info.allocatable.get("pods", 0):
        return "Too many pods"
    has, used = info.allocatable, info.requested
    for name, amount in asked(cycle).items():
        if amount > 0 and amount > has.get(name, 0) - used.get(name, 0):
            return f"Insufficient {name}"
    return None


def score(cycle: Cycle, info: NodeInfo) -> float:
    shares = []
    for name in ("cpu", "memory"):
        total = info.allocatable.get(name, 0)
        if total:
            used = info.requested.get(name, 0) + asked(cycle).get(name, 0)
            shares.append(max(0.0, 100.0 * (total - used) / total))
    return sum(shares) / len(shares) if shares else 0.0
