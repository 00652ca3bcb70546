"""NodeUnschedulable: cordoned nodes take only pods that tolerate it."""

from __future__ import annotations

from kloster.placement.taints import tolerates
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo

TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    if not (info.node or {}).get("spec", {}).get("unschedulable"):
        return None
    if any(tolerates(one, TAINT) for one in cycle.pod["spec"].get("tolerations") or ()):
        return None
    return "node(s) were unschedulable"
