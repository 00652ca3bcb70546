"""LimitRanger: a namespace's LimitRanges give containers their default resources and refuse what is out of bounds.

Source: https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.quantity import Quantity
from kloster.apiserver.admission.api import CREATE, Attempt, Plugin
from kloster.kinds import quantity
from kloster.kinds.podspec.aggregate import overall

_RANGES = "/limitranges"
_ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, Any]


def _limits(attempt: Attempt) -> Iterator[Object]:
    for found in attempt.scan(_RANGES, attempt.namespace):
        yield from (found.get("spec") or {}).get("limits") or ()


# --- defaults -----------------------------------------------------------------------------------------------------


def _mutate(attempt: Attempt) -> None:
    for found in attempt.scan(_RANGES, attempt.namespace):
        requests: dict[str, Any] = {}
        limits: dict[str, Any] = {}
        for limit in (found.get("spec") or {}).get("limits") or ():
            if limit.get("type") == "Container":
                requests.update(limit.get("defaultRequest") or {})
                limits.update(limit.get("default") or {})
        _give(attempt.item, requests, limits)


def _give(pod: Object, requests: Amounts, limits: Amounts) -> None:
    notes: list[str] = []
    for kind, field in (("container", "containers"), ("init container", "initContainers")):
        for container in pod["spec"].get(field) or ():
            resources = container.setdefault("resources", {})
            for what, name, amounts in (("request", "requests", requests), ("limit", "limits", limits)):
                missing = {key: value for key, value in amounts.items() if key not in (resources.get(name) or {})}
                if missing:
                    resources[name] = {**(resources.get(name) or {}), **missing}
                    notes.append(f"{', '.join(sorted(missing))} {what} for {kind} {container['name']}")
    if notes:
        meta = pod["metadata"]
        note = f"LimitRanger plugin set: {'; '.join(notes)}"
        meta["annotations"] = {**(meta.get("annotations") or {}), _ANNOTATION: note}


# --- bounds -------------------------------------------------------------------------------------------------------


def _validate(attempt: Attempt) -> None:
    found: list[str] = []
    spec = attempt.item["spec"]
    for limit in _limits(attempt):
        kind = limit.get("type", "")
        if attempt.served.plural == "persistentvolumeclaims":
            if kind == "PersistentVolumeClaim":
                requests = (spec.get("resources") or {}).get("requests") or {}
                found.extend(_minimum(kind, limit, requests, {}))
                found.extend(_maximum_request(kind, limit, requests))
        elif kind == "Container":
            for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
                resources = container.get("resources") or {}
                found.extend(_bounds(kind, limit, resources.get("requests") or {}, resources.get("limits") or {}))
        elif kind == "Pod":
            found.extend(_bounds(kind, limit, overall(spec, "requests"), overall(spec, "limits")))
    if found:
        texts = list(dict.fromkeys(found))
        text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        raise errors.forbidden(attempt.served.group, attempt.served.plural, attempt.name, text)


def _bounds(kind: str, limit: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _minimum(kind, limit, requests, limits)
    yield from _maximum(kind, limit, requests, limits)
    yield from _ratio(kind, limit, requests, limits)


def _parsed(amounts: Amounts, name: str) -> Quantity | None:
    value = amounts.get(name)
    return value if isinstance(value, Quantity) else None if value is None else quantity.parse(value)


def _minimum(kind: str, limit: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, text in (limit.get("min") or {}).items():
        bound, asked, most = quantity.parse(text), _parsed(requests, name), _parsed(limits, name)
        if asked is None:
            yield f"minimum {name} usage per {kind} is {text}.  No request is specified"
        elif asked < bound:
            yield f"minimum {name} usage per {kind} is {text}, but request is {asked.text}"
        elif most is not None and most < bound:
            yield f"minimum {name} usage per {kind} is {text}, but limit is {most.text}"


def _maximum(kind: str, limit: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, text in (limit.get("max") or {}).items():
        bound, asked, most = quantity.parse(text), _parsed(requests, name), _parsed(limits, name)
        if most is None:
            yield f"maximum {name} usage per {kind} is {text}.  No limit is specified"
        elif bound < most:
            yield f"maximum {name} usage per {kind} is {text}, but limit is {most.text}"
        elif asked is not None and bound < asked:
            yield f"maximum {name} usage per {kind} is {text}, but request is {asked.text}"


def _maximum_request(kind: str, limit: Object, requests: Amounts) -> Iterator[str]:
    for name, text in (limit.get("max") or {}).items():
        asked = _parsed(requests, name)
        if asked is None:
            yield f"maximum {name} usage per {kind} is {text}.  No request is specified"
        elif quantity.parse(text) < asked:
            yield f"maximum {name} usage per {kind} is {text}, but request is {asked.text}"


def _ratio(kind: str, limit: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, text in (limit.get("maxLimitRequestRatio") or {}).items():
        asked, most = _milli(_parsed(requests, name)), _milli(_parsed(limits, name))
        head = f"{name} max limit to request ratio per {kind} is {text}, but"
        if not asked:
            yield f"{head} no request is specified or request is 0"
        elif not most:
            yield f"{head} no limit is specified or limit is 0"
        elif most / asked * 1000 > _milli(quantity.parse(text)):
            yield f"{head} provided ratio is {most / asked:f}"


def _milli(amount: Quantity | None) -> int:
    return 0 if amount is None else amount.milli_value


PODS = Plugin(
    name="LimitRanger",
    operations=frozenset({CREATE}),
    resources=frozenset({"/pods"}),
    mutate=_mutate,
    validate=_validate,
)
CLAIMS = Plugin(
    name="LimitRanger",
    operations=frozenset({CREATE}),
    resources=frozenset({"/persistentvolumeclaims"}),
    validate=_validate,
)
