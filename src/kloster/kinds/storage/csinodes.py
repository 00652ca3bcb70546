"""CSINodes: which storage drivers run on a node, and under which identity."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, lifecycle, metadata, names
from kloster.kinds.storage import drivers
from kloster.kinds.strategy import Strategy

_LONGEST_ID = 256
_PATH = "spec.drivers"


def _drivers(node: Object) -> list[Object]:
    return (node.get("spec") or {}).get("drivers") or []


def _validate(node: Object) -> list[FieldError]:
    found = []
    seen = set()
    for index, driver in enumerate(_drivers(node)):
        path, name = f"{_PATH}[{index}]", checks.text(driver.get("name"))
        found.extend(drivers.validate_name(f"{path}.name", name))
        found.extend(_identity(f"{path}.nodeID", checks.text(driver.get("nodeID"))))
        found.extend(checks.nonnegative(f"{path}.allocatable.count", (driver.get("allocatable") or {}).get("count")))
        if name in seen:
            found.append(errors.duplicate(f"{path}.name", name))
        seen.add(name)
        found.extend(_topology_keys(path, driver.get("topologyKeys") or []))
    return found


def _identity(path: str, value: str) -> list[FieldError]:
    if not value:
        return [errors.required(path)]
    if len(value.encode()) > _LONGEST_ID:
        return [errors.invalid_value(path, value, f"must be {_LONGEST_ID} characters or less")]
    return []


def _topology_keys(path: str, keys: list[str]) -> list[FieldError]:
    found, repeated = [], set(checks.repeated(keys))
    for index, key in enumerate(keys):
        if not key:
            found.append(errors.required(path))
        if index in repeated:
            found.append(errors.duplicate(path, key))
        found.extend(checks.complaints(path, key, names.qualified_name(key)))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    """A driver may come, go, and change how many volumes fit; nothing else of it changes."""
    found = _validate(new)
    for before in _drivers(old):
        for after in _drivers(new):
            identity = _identity_of(after)
            if after.get("name") == before.get("name") and not metadata.same(identity, _identity_of(before)):
                room = after.get("allocatable")
                shown = {**identity, "Allocatable": None if room is None else {"Count": room.get("count")}}
                found.append(errors.invalid_value(_PATH, shown, metadata.IMMUTABLE))
    return found


def _identity_of(driver: Object) -> Object:
    return {
        "Name": checks.text(driver.get("name")),
        "NodeID": checks.text(driver.get("nodeID")),
        "TopologyKeys": driver.get("topologyKeys"),
    }


def _cells(node: Object, now: float) -> list[Any]:
    return [node["metadata"]["name"], len(_drivers(node)), table.age(node, now)]


# Nodes have a status since 1.37; before, the field and the subresource do not exist.
STRATEGY = Strategy(
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec_and_metadata,
    status=True,
    validate=_validate,
    validate_update=_validate_update,
    unconditional_update=False,
    returns_deleted=True,
    cells=_cells,
)
