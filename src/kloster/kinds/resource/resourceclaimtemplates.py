"""ResourceClaimTemplates: a claim is made from one for every pod that refers to it."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import internal, lifecycle, metadata
from kloster.kinds.resource import requests
from kloster.kinds.strategy import Strategy


def _devices(template: Object) -> Object:
    return ((template.get("spec") or {}).get("spec") or {}).get("devices") or {}


def _default(template: Object) -> None:
    requests.default(_devices(template))


def _validate(template: Object) -> list[FieldError]:
    meta = (template.get("spec") or {}).get("metadata") or {}
    return [
        *metadata.validate_labels(meta.get("labels"), "spec.metadata.labels"),
        *metadata.validate_annotations(meta.get("annotations"), "spec.metadata.annotations"),
        *requests.validate("spec.spec.devices", _devices(template)),
    ]


def _validate_new(item: Object) -> list[FieldError]:
    # Upstream reports what has changed before what is wrong (_validate_update).
    return _validate(item) if lifecycle.is_new(item) else []


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    if metadata.same(new.get("spec"), old.get("spec")):
        return _validate(new)
    spec = new.get("spec") or {}
    # Metadata is embedded there, so that its fields stand beside the spec.
    shown = {**(spec.get("metadata") or {}), **internal.shown(spec, {"spec": requests.SPEC})}
    return [errors.invalid_value("spec", shown, metadata.IMMUTABLE), *_validate(new)]


def _cells(template: Object, now: float) -> list[Any]:
    return [template["metadata"]["name"], table.age(template, now)]


STRATEGY = Strategy(
    default=_default,
    validate=_validate_new,
    validate_update=_validate_update,
    returns_deleted=True,
    cells=_cells,
)
