"""NodeAffinity: nodeSelector and node affinity."""

from __future__ import annotations

from kloster.placement import affinity
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def concerns(cycle: Cycle) -> bool:
    spec = cycle.pod["spec"]
    return bool(spec.get("nodeSelector") or affinity.required(spec) is not None)


def prefers(cycle: Cycle) -> bool:
    return bool(affinity.preferred(cycle.pod["spec"]))


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    if affinity.node_matches(cycle.pod["spec"], info.name, info.labels):
        return None
    return "node(s) didn't match Pod's node affinity/selector"


def score(cycle: Cycle, info: NodeInfo) -> float:
    return min(100.0, float(affinity.node_preference(cycle.pod["spec"], info.name, info.labels)))
