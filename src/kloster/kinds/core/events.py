"""Events, which two API groups serve with different field names. They are stored as core/v1.

``events.k8s.io/v1`` is stricter: new events need a time, a controller, an instance, an action and a reason, and the old
counting fields must be empty; afterwards only the series may change.
Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds.strategy import Strategy

CORE, EVENTS = "v1", "events.k8s.io/v1"

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


CONVERT = {(CORE, EVENTS): to_events, (EVENTS, CORE): to_core}

STRATEGY = Strategy(name="any", create_on_update=True, cells=cells, fields=FIELDS, convert=CONVERT)
