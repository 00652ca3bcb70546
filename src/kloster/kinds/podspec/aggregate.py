"""What all containers of a pod ask for together.

Regular containers and sidecars run side by side, so theirs add up; other init containers run before them one by one,
beside the sidecars that were started until then, so the largest of those moments counts.
Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.quantity import ZERO, Quantity
from kloster.kinds import quantity

Amounts = dict[str, Quantity]


def aggregate(spec: Object, field: str) -> Amounts:
    """The pod's effective ``requests`` or ``limits`` (`field`), without overhead."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _of(container, field))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, field)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            moment = dict(sidecars)
        else:
            moment = dict(sidecars)
            _add(moment, own)
        _raise(peak, moment)
    _raise(total, peak)
    return total


def overall(spec: Object, field: str) -> Amounts:
    """The same where the pod may say itself how much it wants."""
    own = (spec.get("resources") or {}).get(field) or {}
    return {**aggregate(spec, field), **{name: quantity.parse(text) for name, text in own.items()}}


def effective(spec: Object, field: str) -> Amounts:
    """What the pod takes of a node, with the overhead of its runtime. No overhead is added where nothing limits."""
    total = overall(spec, field)
    overhead = {name: quantity.parse(text) for name, text in (spec.get("overhead") or {}).items()}
    if field == "limits":
        overhead = {name: amount for name, amount in overhead.items() if total.get(name)}
    _add(total, overhead)
    return total


def _of(container: Object, field: str) -> Amounts:
    amounts = (container.get("resources") or {}).get(field) or {}
    return {name: quantity.parse(text) for name, text in amounts.items()}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _raise(total: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        if amount > total.get(name, ZERO) or name not in total:
            total[name] = amount
