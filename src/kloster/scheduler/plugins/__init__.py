"""The rules: each a module with one rule, listed here in the order in which upstream runs them.

A filter returns None if the pod may go there, otherwise why not, in upstream's words; a score gives 0 to 100.
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

FILTERS: Sequence[Filter] = (
    unschedulable.filter,
    node_name.filter,
    taint_toleration.filter,
    node_affinity.filter,
    node_ports.filter,
    fit.filter,
    topology_spread.filter,
    inter_pod_affinity.filter,
)

SCORES: Sequence[tuple[Score, int]] = (
    (fit.score, 1),
    (balanced_allocation.score, 1),
    (node_affinity.score, 2),
    (taint_toleration.score, 3),
)
