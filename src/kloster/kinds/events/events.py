"""Events as events.k8s.io/v1 serves them: stored as core/v1, but stricter when written here (`kinds.core.events`).

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, invalid_value, required
from kloster.kinds import internal, metadata
from kloster.kinds.core import events
from kloster.kinds.strategy import Strategy

_DEPRECATED = ("firstTimestamp", "lastTimestamp", "count")
_REFERENCE = dict.fromkeys(("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"), "")
# In upstream's order, with their zero values, and structs in the shape in which errors show them.
_FIXED: tuple[tuple[str, Any, Any], ...] = (
    ("involvedObject", None, _REFERENCE),
    ("reason", "", None),
    ("message", "", None),
    ("source", None, {"component": "", "host": ""}),
    ("firstTimestamp", None, None),
    ("lastTimestamp", None, None),
    ("count", 0, None),
    ("reason", "", None),
    ("type", "", None),
    ("eventTime", None, None),
    ("action", "", None),
    ("related", None, internal.Pointer(_REFERENCE)),
)


def _validate(event: Object) -> Iterable[FieldError]:
    yield from events.validate_common(event, "reportingController")
    if event["metadata"].get("resourceVersion"):
        return
    yield from _validate_series(event)
    if not event.get("eventTime"):
        yield required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        yield invalid_value("type", "", f"has invalid value: {event.get('type', '')}")
    for field in _DEPRECATED:
        if event.get(field):
            yield invalid_value(field, "", "needs to be unset")
    source = event.get("source") or {}
    if source.get("component") or source.get("host"):
        yield invalid_value("source", "", "needs to be unset")


def _validate_series(event: Object) -> Iterable[FieldError]:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield invalid_value("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    """Only the series of an event moves on."""
    if not metadata.same(new.get("series"), old.get("series")):
        yield from _validate_series(new)
    for field, empty, shape in _FIXED:
        value, before = new.get(field, empty), old.get(field, empty)
        if shape is None:
            yield from metadata.immutable(value, before, field)
        elif internal.shown(value, shape) != internal.shown(before, shape):
            yield invalid_value(field, internal.shown(value, shape), metadata.IMMUTABLE)
    controller, instance = ("reportingComponent", "reportingController"), ("reportingInstance", "reportingInstance")
    for field, shown in (controller, instance):
        yield from metadata.immutable(new.get(field, ""), old.get(field, ""), shown)


STRATEGY = Strategy(
    validate=_validate,
    validate_update=_validate_update,
    create_on_update=True,
    cells=events.cells,
    fields=events.FIELDS,
    convert=events.CONVERT,
)
