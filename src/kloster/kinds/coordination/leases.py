"""Leases: who leads, and until when; also the heartbeats of nodes.

Source: https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks
from kloster.kinds.strategy import Strategy

# Fields of the CoordinatedLeaderElection gate, off by default in all supported versions.
_GATED = ("strategy", "preferredHolder")


def _drop_gated(lease: Object) -> None:
    spec = lease.get("spec") or {}
    for name in _GATED:
        spec.pop(name, None)


def _prepare_update(new: Object, old: Object) -> None:
    spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    for name in _GATED:
        if old_spec.get(name) is None:
            spec.pop(name, None)


def _validate(lease: Object) -> list[FieldError]:
    spec = lease.get("spec") or {}
    found = []
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        found.append(errors.invalid_value("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    found.extend(checks.nonnegative("spec.leaseTransitions", transitions))
    return found


def _cells(lease: Object, now: float) -> list[Any]:
    holder = checks.text((lease.get("spec") or {}).get("holderIdentity"))
    return [lease["metadata"]["name"], holder, table.age(lease, now)]


STRATEGY = Strategy(
    prepare_create=_drop_gated,
    prepare_update=_prepare_update,
    validate=_validate,
    create_on_update=True,
    unconditional_update=False,
    cells=_cells,
)
