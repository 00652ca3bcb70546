"""What a pod asks for and what a node has left.

Amounts are integers by resource name: milli-cores for ``cpu``, units (bytes, pieces) for everything else.
Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/ and KEP-753 for sidecars.
"""

from __future__ import annotations

from collections.abc import Mapping

from kloster.apimachinery import Object, quantity

Amounts = dict[str, int]


def amounts(quantities: Mapping[str, object] | None) -> Amounts:
    """Quantities of a ResourceList as integers."""
    return {name: _amount(name, str(text)) for name, text in (quantities or {}).items()}


def _amount(name: str, text: str) -> int:
    parsed = quantity.parse(text)
    return parsed.milli_value if name == "cpu" else parsed.value


def add(into: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, 0) + amount


def subtract(from_: Amounts, less: Mapping[str, int]) -> None:
    for name, amount in less.items():
        from_[name] = from_.get(name, 0) - amount


def _most(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def pod_requests(pod: Object) -> Amounts:
    """What the scheduler reserves for a pod: the larger of its running containers and of any init step (each with
    the sidecars that were started before it), pod-level requests first, plus overhead."""
    spec = pod["spec"]
    running: Amounts = {}
    for container in spec["containers"]:
        add(running, _requests(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers", ()):
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            add(sidecars, asked)
            peak = _most(peak, sidecars)
        else:
            step = dict(sidecars)
            add(step, asked)
            peak = _most(peak, step)
    add(running, sidecars)
    total = _most(running, peak)
    total.update(_requests(spec))
    add(total, amounts(spec.get("overhead")))
    return total


def _requests(container: Object) -> Amounts:
    return amounts((container.get("resources") or {}).get("requests"))
