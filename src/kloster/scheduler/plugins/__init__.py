"""The rules: each a module with one rule, listed here in the order in which upstream runs them.

A filter returns None if the pod may go there, otherwise why not, in upstream's words; a score gives 0 to 100. Many
rules have nothing to say of an ordinary pod, wherever it goes: their `concerns` tells so once for all nodes, as
upstream's PreFilter and PreScore do when they skip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kloster.scheduler.cycle import Cycle
from kloster.scheduler.plugins import (
    balanced_allocation,
    fit,
    inter_pod_affinity,
    node_affinity,
    node_name,
    node_ports,
    taint_toleration,
    topology_spread,
    unschedulable,
)
from kloster.scheduler.snapshot import NodeInfo

Filter = Callable[[Cycle, NodeInfo], str | None]
Score = Callable[[Cycle, NodeInfo], float]
Concerns = Callable[[Cycle], bool]


def always(_: Cycle) -> bool:
    return True


FILTERS: Sequence[tuple[Filter, Concerns]] = (
    (unschedulable.filter, always),
    (node_name.filter, node_name.concerns),
    (taint_toleration.filter, always),
    (node_affinity.filter, node_affinity.concerns),
    (node_ports.filter, node_ports.concerns),
    (fit.filter, always),
    (topology_spread.filter, topology_spread.concerns),
    (inter_pod_affinity.filter, inter_pod_affinity.concerns),
)

SCORES: Sequence[tuple[Score, int, Concerns]] = (
    (fit.score, 1, always),
    (balanced_allocation.score, 1, always),
    (node_affinity.score, 2, node_affinity.prefers),
    (taint_toleration.score, 3, always),
)


def filters(cycle: Cycle) -> list[Filter]:
    """Those that may keep the pod from somewhere."""
    return [rule for rule, concerns in FILTERS if concerns(cycle)]


def scores(cycle: Cycle) -> list[tuple[Score, int]]:
    """Those that may prefer a node, with their weights."""
    return [(rule, weight) for rule, weight, concerns in SCORES if concerns(cycle)]
