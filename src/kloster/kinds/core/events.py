"""Events, which two API groups serve with different field names. They are stored as core/v1.

``events.k8s.io/v1`` is stricter: new events need a time, a controller, an instance, an action and a reason, and the old
counting fields must be empty; afterwards only the series may change.
Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, invalid_value, required
from kloster.kinds import cells as table
from kloster.kinds import checks, names, times
from kloster.kinds.strategy import Strategy

CORE, EVENTS = "v1", "events.k8s.io/v1"
TTL = 3600.0
"""Seconds for which an event is kept after its last write, upstream's default of ``--event-ttl``."""

_TO_EVENTS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_TO_CORE = {new: old for old, new in _TO_EVENTS.items()}


def _renamed(event: Object, names: dict[str, str], version: str) -> Object:
    result = {names.get(field, field): value for field, value in event.items()}
    result["apiVersion"] = version
    return result


def to_events(event: Object) -> Object:
    return _renamed(event, _TO_EVENTS, EVENTS)


def to_core(event: Object) -> Object:
    return _renamed(event, _TO_CORE, CORE)


def last_written(event: Object) -> float:
    """When the API server last took a write of the event, by its own clock (not what the event says of itself)."""
    metadata = event["metadata"]
    texts = [metadata.get("creationTimestamp"), *(one.get("time") for one in metadata.get("managedFields") or ())]
    return max((at for text in texts if (at := times.parse(text)) is not None), default=0.0)


def _involved(field: str) -> Callable[[Object], str]:
    return lambda event: str((event.get("involvedObject") or {}).get(field, ""))


def _plain(field: str) -> Callable[[Object], str]:
    return lambda event: str(event.get(field) or "")


def _source(event: Object) -> str:
    return (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""


_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

FIELDS: dict[str, Callable[[Object], str]] = {
    **{f"involvedObject.{name}": _involved(name) for name in _INVOLVED},
    **{f"regarding.{name}": _involved(name) for name in _INVOLVED},
    "reason": _plain("reason"),
    "type": _plain("type"),
    "source": _source,
    "reportingComponent": _plain("reportingComponent"),
    "reportingController": _plain("reportingComponent"),
}
"""Selectable fields of both groups, read from the stored form."""


def cells(event: Object, now: float) -> list[Any]:
    first = table.since(event.get("firstTimestamp") or event.get("eventTime"), now)
    last = table.since(event["lastTimestamp"], now) if event.get("lastTimestamp") else first
    count = event.get("count") or 1
    series = event.get("series")
    if series is not None:
        last = table.since(series.get("lastObservedTime"), now)
        count = series.get("count") or 0
    involved = event.get("involvedObject") or {}
    target = involved.get("kind", "").lower()
    if involved.get("name"):
        target += f"/{involved['name']}"
    instance = (event.get("source") or {}).get("host") or event.get("reportingInstance")
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        target,
        involved.get("fieldPath", ""),
        f"{_source(event)}, {instance}" if instance else _source(event),
        event.get("message", "").strip(),
        first,
        count,
        event["metadata"]["name"],
    ]


_LONGEST = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}


def validate_common(event: Object, controller_field: str) -> Iterable[FieldError]:
    """What events of both groups must fulfil. One with a time is of the new style and must say who reports it."""
    namespace = event["metadata"].get("namespace", "")
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    new_style = bool(event.get("eventTime"))
    if new_style:
        matches = bool(involved) or namespace in ("default", "kube-system")
    else:
        matches = namespace == involved or (not involved and namespace in ("", "default"))
    if not matches:
        yield invalid_value("involvedObject.namespace", involved, "does not match event.namespace")
    if new_style:
        yield from _validate_reporter(event, controller_field)
    yield from checks.complaints("namespace", namespace, names.subdomain(namespace))


def _validate_reporter(event: Object, controller_field: str) -> Iterable[FieldError]:
    controller = event.get("reportingComponent") or ""
    if not controller:
        yield required(controller_field)
    yield from checks.complaints(controller_field, controller, names.qualified_name(controller))
    for field, limit in _LONGEST.items():
        value = event.get(field) or ""
        if not value and field != "message":
            yield required(field)
        if len(value.encode()) > limit:
            yield invalid_value(field, "", f"can have at most {limit} characters")


def _validate(event: Object) -> Iterable[FieldError]:
    return validate_common(event, "reportingComponent")


CONVERT = {(CORE, EVENTS): to_events, (EVENTS, CORE): to_core}

STRATEGY = Strategy(name="any", validate=_validate, create_on_update=True, cells=cells, fields=FIELDS, convert=CONVERT)
