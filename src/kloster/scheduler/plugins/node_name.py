"""NodeName: a pod that names its node goes nowhere else."""

from __future__ import annotations

from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def concerns(cycle: Cycle) -> bool:
    return bool(cycle.pod["spec"].get("nodeName"))


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    wanted = cycle.pod["spec"].get("nodeName")
    return None if not wanted or wanted == info.name else "node(s) didn't match the requested node name"
