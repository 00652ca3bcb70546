"""TaintToleration: taints keep pods away that do not tolerate them; PreferNoSchedule only counts against a node."""

from __future__ import annotations

from kloster.placement.taints import first_untolerated, tolerates
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    taints = (info.node or {}).get("spec", {}).get("taints")
    if not taints:
        return None
    taint = first_untolerated(taints, cycle.pod["spec"].get("tolerations") or ())
    if taint is None:
        return None
    return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"


def score(cycle: Cycle, info: NodeInfo) -> float:
    taints = (info.node or {}).get("spec", {}).get("taints")
    if not taints:
        return 100.0
    tolerations = cycle.pod["spec"].get("tolerations") or ()
    against = sum(
        1
        for taint in taints
        if taint["effect"] == "PreferNoSchedule" and not any(tolerates(one, taint) for one in tolerations)
    )
    return 100.0 / (1 + against)
