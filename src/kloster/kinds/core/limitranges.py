"""LimitRanges: what a namespace allows a container, pod or claim to ask for, and what it gives those that do not ask.

Source: https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value, required
from kloster.apimachinery.quantity import Quantity, of
from kloster.kinds import checks, defaulting, names, quantity, resources
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


def _validate(limits: Object) -> Iterable[FieldError]:
    seen: set[str] = set()
    for index, item in enumerate((limits.get("spec") or {}).get("limits") or ()):
        at, kind = f"spec.limits[{index}]", item.get("type") or ""
        texts = names.qualified_name(kind)
        if not texts and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
            texts = ["must be a standard limit type or fully qualified"]
        yield from checks.complaints(f"{at}.type", kind, texts)
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
        yield from _validate_item(item, kind, at)


def _validate_item(item: Object, kind: str, path: str) -> Iterable[FieldError]:
    check = resources.validate_container_name if kind in ("Pod", "Container") else resources.validate_name
    amounts: dict[str, dict[str, Quantity]] = {}
    for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
        if field == "maxLimitRequestRatio" and kind == "PersistentVolumeClaim" and not _bounds_storage(item):
            text = "either minimum or maximum storage value is required, but neither was provided"
            yield required(f"{path}.limits", text)
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if item.get(field):
                yield forbidden_field(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name, amount in (item.get(field) or {}).items():
            yield from check(name, f"{path}.{field}[{name}]")
            amounts.setdefault(name, {})[field] = quantity.parse(amount)
    for name, known in amounts.items():
        yield from _compare(name, known, path)
        yield from _validate_ratio(name, known, path)
        limit, request = known.get("default"), known.get("defaultRequest")
        if not resources.may_overcommit(name) and limit is not None and request is not None and limit != request:
            text = f"default value {limit.text} must equal to defaultRequest value {request.text} in {name}"
            yield invalid_value(f"{path}.defaultRequest[{name}]", request.text, text)


def _bounds_storage(item: Object) -> bool:
    return any("storage" in (item.get(name) or ()) for name in ("min", "max"))


_ORDER = (
    # smaller, larger, where the finding stands, the value it shows
    ("min", "max", "min", "min"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest"),
    ("min", "default", "default", "min"),
    ("default", "max", "default", "max"),
)
_WORDS = {"defaultRequest": "default request"}


def _words(smaller: str, larger: str) -> tuple[str, str]:
    limit = "default limit" if smaller == "defaultRequest" and larger == "default" else _WORDS.get(larger, larger)
    return _WORDS.get(smaller, smaller), limit


def _compare(name: str, known: dict[str, Quantity], path: str) -> Iterable[FieldError]:
    for smaller, larger, field, value in _ORDER:
        low, high = known.get(smaller), known.get(larger)
        if low is not None and high is not None and low > high:
            one, other = _words(smaller, larger)
            text = f"{one} value {low.text} is greater than {other} value {high.text}"
            yield invalid_value(f"{path}.{field}[{name}]", known[value].text, text)


def _validate_ratio(name: str, known: dict[str, Quantity], path: str) -> Iterable[FieldError]:
    ratio, low, high = known.get("maxLimitRequestRatio"), known.get("min"), known.get("max")
    at = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is None:
        return
    if ratio < of(1):
        yield invalid_value(at, ratio.text, f"ratio {ratio.text} is less than 1")
    if low is not None and high is not None and low.milli_value:
        limit = high.milli_value / low.milli_value
        if ratio.milli_value / 1000 > limit:
            yield invalid_value(at, ratio.text, f"ratio {ratio.text} is greater than max/min = {limit:f}")


STRATEGY = Strategy(default=_default, validate=_validate, create_on_update=True)
