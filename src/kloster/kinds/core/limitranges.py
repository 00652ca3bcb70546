"""LimitRanges: what a namespace allows a container, pod or claim to ask for, and what it gives those that do not ask.

Source: https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.kinds import defaulting, quantity
from kloster.kinds.strategy import Strategy

_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _default(limits: Object) -> None:
    for item in (limits.get("spec") or {}).get("limits") or ():
        for name in _LISTS:
            quantity.round_up_milli(item.get(name))
        if item.get("type") == "Container":
            _default_container(item)


def _default_container(item: Object) -> None:
    """The default is the maximum, the default request the default, and failing that the minimum."""
    limit, request = defaulting.struct(item, "default"), defaulting.struct(item, "defaultRequest")
    for target, source in ((limit, item.get("max")), (request, limit), (request, item.get("min"))):
        for key, value in (source or {}).items():
            target.setdefault(key, value)
    for name in ("default", "defaultRequest"):
        item[name] = dict(sorted(item[name].items()))


STRATEGY = Strategy(default=_default, create_on_update=True)
