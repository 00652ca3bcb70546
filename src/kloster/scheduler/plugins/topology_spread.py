"""PodTopologySpread: constraints with whenUnsatisfiable DoNotSchedule."""

from __future__ import annotations

from kloster.placement import affinity, spread
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def concerns(cycle: Cycle) -> bool:
    return bool(spread.hard_constraints(cycle.pod))


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    constraints = spread.hard_constraints(cycle.pod)
    for position, constraint in enumerate(constraints):
        if constraint["topologyKey"] not in info.labels:
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        found = cycle.memo.get(f"spread{position}")
        if found is None:
            eligible = (
                (one.labels, one.pods.values())
                for one in cycle.snapshot.ready()
                if affinity.node_matches(cycle.pod["spec"], one.name, one.labels)
            )
            found = cycle.memo[f"spread{position}"] = spread.counts(constraint, cycle.pod, eligible)
        if not spread.allows(constraint, cycle.pod, info.labels, found):
            return "node(s) didn't match pod topology spread constraints"
    return None
