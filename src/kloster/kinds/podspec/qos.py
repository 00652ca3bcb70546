"""The quality-of-service class of a pod, fixed when it is created.

Guaranteed: every container has limits for cpu and memory, and all requests equal them. BestEffort: nothing is asked.
Burstable: the rest. Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.quantity import ZERO, Quantity
from kloster.kinds import quantity

_RESOURCES = ("cpu", "memory")


def qos_class(spec: Object) -> str:
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}
    guaranteed = True
    if spec.get("resources") is not None:  # pod-level resources stand for all containers
        holders, needs_limits = [spec["resources"]], bool(spec["resources"].get("limits"))
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        holders, needs_limits = [container.get("resources") or {} for container in containers], True
    for resources in holders:
        _add(requests, resources.get("requests"))
        limited = _add(limits, resources.get("limits"))
        if needs_limits and limited != set(_RESOURCES):
            guaranteed = False
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and requests == limits:
        return "Guaranteed"
    return "Burstable"


def _add(total: dict[str, Quantity], resources: Object | None) -> set[str]:
    """Sums up what is above zero, and tells which resources were."""
    found = set()
    for name in _RESOURCES:
        amount = quantity.parse((resources or {}).get(name, "0"))
        if amount > ZERO:
            total[name] = total.get(name, ZERO) + amount
            found.add(name)
    return found
