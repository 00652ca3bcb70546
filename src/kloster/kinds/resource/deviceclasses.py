"""DeviceClasses: kinds of devices that an administrator offers."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks
from kloster.kinds.resource import requests
from kloster.kinds.strategy import Strategy


def _validate(device_class: Object) -> list[FieldError]:
    spec = device_class.get("spec") or {}
    configs = spec.get("config") or []
    return [
        *requests.validate_selectors("spec.selectors", spec.get("selectors") or []),
        *requests.listed("spec.config", configs, requests.MOST_CONFIGS, requests.validate_configuration),
    ]


def _cells(device_class: Object, now: float) -> list[Any]:
    return [device_class["metadata"]["name"], table.age(device_class, now)]


STRATEGY = Strategy(
    validate=_validate, validate_update=checks.again(_validate), generation=True, returns_deleted=True, cells=_cells
)
