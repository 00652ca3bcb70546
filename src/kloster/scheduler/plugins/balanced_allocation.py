"""NodeResourcesBalancedAllocation: prefer nodes whose CPU and memory would be used alike."""

from __future__ import annotations

from kloster.scheduler.cycle import Cycle
from kloster.scheduler.plugins.fit import asked
from kloster.scheduler.snapshot import NodeInfo


def score(cycle: Cycle, info: NodeInfo) -> float:
    shares = []
    for name in ("cpu", "memory"):
        total = info.allocatable.get(name, 0)
        if total:
            shares.append(min(1.0, (info.requested.get(name, 0) + asked(cycle).get(name, 0)) / total))
    if len(shares) < 2:
        return 0.0
    return 100.0 * (1 - abs(shares[0] - shares[1]) / 2)
