"""VolumeAttributesClasses: properties of a volume that can be changed while it is in use.

Source: https://kubernetes.io/docs/concepts/storage/volume-attributes-classes/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks
from kloster.kinds.storage import drivers
from kloster.kinds.strategy import Strategy


def _validate(attributes: Object) -> list[FieldError]:
    return [
        *drivers.validate_provisioner("driverName", checks.text(attributes.get("driverName"))),
        *drivers.validate_parameters("parameters", attributes.get("parameters"), required=True),
    ]


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    found = [
        errors.forbidden_field(name, f"updates to {name} are forbidden.")
        for name in ("driverName", "parameters")
        if (new.get(name) or None) != (old.get(name) or None)
    ]
    return [*found, *_validate(new)]


def _cells(attributes: Object, now: float) -> list[Any]:
    return [attributes["metadata"]["name"], checks.text(attributes.get("driverName")), table.age(attributes, now)]


STRATEGY = Strategy(validate=_validate, validate_update=_validate_update, returns_deleted=True, cells=_cells)
