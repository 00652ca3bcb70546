"""ControllerRevisions: earlier templates of stateful and daemon sets, kept for roll-backs."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, lifecycle, metadata
from kloster.kinds.strategy import Strategy


def _validate(revision: Object) -> list[FieldError]:
    found = checks.nonnegative("revision", revision.get("revision"))
    data = revision.get("data")
    if lifecycle.is_new(revision):
        if data is None:
            found.append(errors.required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            found.append(errors.required("data", "data must be a valid JSON object"))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return metadata.immutable(new.get("data"), old.get("data"), "data")


def _cells(revision: Object, now: float) -> list[Any]:
    owners = revision["metadata"].get("ownerReferences") or ()
    controller = next((owner for owner in owners if owner.get("controller")), None)
    shown = "<none>"
    if controller is not None:
        group = checks.text(controller.get("apiVersion")).rpartition("/")[0]
        shown = f"{errors.qualified(group, checks.text(controller.get('kind'))).lower()}/{controller.get('name', '')}"
    return [revision["metadata"]["name"], shown, revision.get("revision") or 0, table.age(revision, now)]


STRATEGY = Strategy(validate=_validate, validate_update=_validate_update, cells=_cells)
