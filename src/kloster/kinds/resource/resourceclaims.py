"""ResourceClaims: devices that pods use, and that the scheduler allocates.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import internal, lifecycle, metadata
from kloster.kinds.resource import allocations, requests
from kloster.kinds.strategy import Strategy

_MOST_CONSUMERS = 256


def _devices(claim: Object) -> Object:
    return (claim.get("spec") or {}).get("devices") or {}


def _default(claim: Object) -> None:
    requests.default(_devices(claim))


def _validate(claim: Object) -> list[FieldError]:
    return requests.validate("spec.devices", _devices(claim))


def _validate_new(item: Object) -> list[FieldError]:
    # On an update upstream reports what is wrong before and after what has changed (_validate_update).
    return _validate(item) if lifecycle.is_new(item) else []


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    found = _validate(new)
    if metadata.same(new.get("spec"), old.get("spec")):
        return found * 2
    shown = internal.shown(new.get("spec"), requests.SPEC)
    return [*found, errors.invalid_value("spec", shown, metadata.IMMUTABLE), *found]


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    status, before = new.get("status") or {}, old.get("status") or {}
    consumers, allocation = status.get("reservedFor") or [], status.get("allocation")
    path = "status.reservedFor"
    found = requests.listed(path, consumers, _MOST_CONSUMERS, _consumer, "uid")
    found.extend(allocations.validate_devices("status.devices", status.get("devices") or [], allocation))
    if consumers and allocation is None:
        found.append(errors.forbidden_field(path, "may not be specified when `allocated` is not set"))
    added = [consumer for consumer in consumers if consumer not in (before.get("reservedFor") or [])]
    if added and allocation is not None and new["metadata"].get("deletionTimestamp"):
        text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        found.append(errors.forbidden_field(path, text))
    if allocation is not None and before.get("allocation") is not None:
        found.extend(metadata.immutable(allocation, before["allocation"], "status.allocation"))
    elif allocation is not None:
        known = requests.known_names(_devices(new))
        found.extend(allocations.validate_allocation("status.allocation", allocation, known))
    return found


def _consumer(path: str, consumer: Object) -> list[FieldError]:
    return [errors.required(f"{path}.{name}") for name in ("resource", "name", "uid") if not consumer.get(name)]


def _cells(claim: Object, now: float) -> list[Any]:
    status = claim.get("status") or {}
    states = ["deleted"] if claim["metadata"].get("deletionTimestamp") else []
    if status.get("allocation") is not None:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    elif not states:
        states.append("pending")
    return [claim["metadata"]["name"], ",".join(states), table.age(claim, now)]


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec_and_metadata,
    validate=_validate_new,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    returns_deleted=True,
    cells=_cells,
)
