"""DeviceTaintRules: taints on devices that match (v1 since 1.37)."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, lifecycle, names
from kloster.kinds.resource import requests
from kloster.kinds.strategy import Strategy


def _validate(rule: Object) -> list[FieldError]:
    spec = rule.get("spec") or {}
    chosen = spec.get("deviceSelector") or {}
    path = "spec.deviceSelector"
    found = []
    if (driver := chosen.get("driver")) is not None:
        found.extend(requests.driver(f"{path}.driver", driver))
    if (pool := chosen.get("pool")) is not None:
        found.extend(requests.pool(f"{path}.pool", pool))
    if (device := chosen.get("device")) is not None:
        found.extend(checks.complaints(f"{path}.device", device, names.label(device)))
    return [*found, *requests.validate_taint("spec.taint", spec.get("taint") or {})]


def _cells(rule: Object, now: float) -> list[Any]:
    taint = (rule.get("spec") or {}).get("taint") or {}
    added = taint.get("timeAdded")
    return [
        rule["metadata"]["name"],
        *(checks.text(taint.get(name)) for name in ("key", "value", "effect")),
        "" if added is None else table.since(added, now),
        table.age(rule, now),
    ]


STRATEGY = Strategy(
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec_and_metadata,
    validate=_validate,
    generation=True,
    status=True,
    returns_deleted=True,
    cells=_cells,
)
