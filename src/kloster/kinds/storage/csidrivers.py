"""CSIDrivers: what the cluster needs to know about a storage driver.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/csi-driver-v1/
"""

from __future__ import annotations

import dataclasses
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, metadata
from kloster.kinds.strategy import Strategy

_SHORTEST_TOKEN = 600
_LONGEST_TOKEN = 1 << 32
_GATED = "nodeAllocatableUpdatePeriodSeconds"


def _default(driver: Object) -> None:
    spec = defaulting.struct(driver, "spec")
    defaulting.absent(
        spec,
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        requiresRepublish=False,
        seLinuxMount=False,
    )
    defaulting.empty(spec, volumeLifecycleModes=["Persistent"])


def _drop_gated(new: Object, old: Object | None) -> None:
    """nodeAllocatableUpdatePeriodSeconds is gated until 1.35 (MutableCSINodeAllocatableCount)."""
    if ((old or {}).get("spec") or {}).get(_GATED) is None:
        (new.get("spec") or {}).pop(_GATED, None)


def _prepare_create(driver: Object) -> None:
    _drop_gated(driver, None)


def _prepare_create_ungated(_driver: Object) -> None:
    return None


def _prepare_update(new: Object, old: Object) -> None:
    _drop_gated(new, old)
    _count(new, old)


def _count(new: Object, old: Object) -> None:
    # A driver has no generation until its spec changes for the first time.
    if not metadata.same(new.get("spec"), old.get("spec")):
        lifecycle.next_generation(new, old)


def _validate(driver: Object) -> list[FieldError]:
    spec = driver.get("spec") or {}
    policies = ["File", "None", "ReadWriteOnceWithFSType"]
    found = checks.supported("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), policies)
    found.extend(_tokens("spec.tokenRequests", spec.get("tokenRequests") or []))
    for mode in spec.get("volumeLifecycleModes") or ():
        found.extend(checks.supported("spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"]))
    period = spec.get(_GATED)
    if period is not None and period < 10:
        text = "must be greater than or equal to 10 seconds"
        found.append(errors.invalid_value(f"spec.{_GATED}", period, text))
    return found


def _tokens(path: str, requests: list[Object]) -> list[FieldError]:
    found = []
    seen = set()
    for index, request in enumerate(requests):
        audience, seconds = checks.text(request.get("audience")), request.get("expirationSeconds")
        if audience in seen:
            found.append(errors.duplicate(f"{path}[{index}].audience", audience))
            continue
        seen.add(audience)
        at = f"{path}[{index}].expirationSeconds"
        if seconds is not None and seconds < _SHORTEST_TOKEN:
            found.append(errors.invalid_value(at, seconds, "may not specify a duration less than 10 minutes"))
        if seconds is not None and seconds > _LONGEST_TOKEN:
            found.append(errors.invalid_value(at, seconds, "may not specify a duration larger than 2^32 seconds"))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    fields = (("attachRequired", "spec.attachedRequired"), ("volumeLifecycleModes", "spec.volumeLifecycleModes"))
    return [found for name, path in fields for found in metadata.immutable(spec.get(name), old_spec.get(name), path)]


def _cells(driver: Object, now: float) -> list[Any]:
    spec = driver.get("spec") or {}
    requests = spec.get("tokenRequests")
    return [
        driver["metadata"]["name"],
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        ",".join(checks.text(request.get("audience")) for request in requests) if requests else "<unset>",
        spec.get("requiresRepublish", False),
        ",".join(spec.get("volumeLifecycleModes") or ()) or "<none>",
        table.age(driver, now),
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    unconditional_update=False,
    returns_deleted=True,
    cells=_cells,
)
CHANGED = {"1.35": dataclasses.replace(STRATEGY, prepare_create=_prepare_create_ungated, prepare_update=_count)}
