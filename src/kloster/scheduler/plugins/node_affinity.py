"""NodeAffinity: nodeSelector and node affinity."""

from __future__ import annotations

from kloster.placement import affinity
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    if affinity.node_matches(cycle.pod["spec"], info.name, info.labels):
        return None
    return "node(s) didn't match Pod's node affinity/selector"


def score(cycle: Cycle, info: NodeInfo) -> float:
    return min(100.0, float(affinity.node_preference(cycle.pod["spec"], info.name, info.labels)))
