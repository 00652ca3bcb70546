"""ComponentStatuses: the deprecated health of control plane parts, made up when asked for, never stored."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds.strategy import Strategy


def _cells(component: Object, _now: float) -> list[Any]:
    name = component["metadata"]["name"]
    for condition in component.get("conditions") or ():
        if condition.get("type") == "Healthy":
            status = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            return [name, status, condition.get("message", ""), condition.get("error", "")]
    return [name, "Unknown", "", ""]


STRATEGY = Strategy(name="any", cells=_cells)
