"""Namespaces. Deleting one is a conversation between spec.finalizers and the namespace controller, not done here.

Every namespace carries its own name as a label, so that selectors can pick it.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, invalid_value
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, metadata, names
from kloster.kinds.strategy import Strategy

NAME_LABEL = "kubernetes.io/metadata.name"


def _default(namespace: Object) -> None:
    meta = namespace["metadata"]
    if meta.get("name"):
        if not meta.get("labels"):
            meta["labels"] = {}
        meta["labels"][NAME_LABEL] = meta["name"]
    defaulting.empty(defaulting.struct(namespace, "status"), phase="Active")


def _prepare_create(namespace: Object) -> None:
    _default(namespace)  # a generated name is known only now
    namespace["status"] = {"phase": "Active"}
    finalizers = defaulting.struct(namespace, "spec").setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")


def _prepare_update(new: Object, old: Object) -> None:
    _default(new)
    lifecycle.restore(defaulting.struct(new, "spec"), old.get("spec") or {}, "finalizers")
    lifecycle.keep_status(new, old)


def _validate(namespace: Object) -> Iterable[FieldError]:
    at = "spec.finalizers"
    for finalizer in (namespace.get("spec") or {}).get("finalizers") or ():
        yield from checks.complaints(at, finalizer, names.qualified_name(finalizer))
        if metadata.validate_finalizer_names([finalizer], at):
            yield invalid_value(at, finalizer, metadata.NOT_STANDARD)


def _validate_status(new: Object, _old: Object) -> Iterable[FieldError]:
    phase = (new.get("status") or {}).get("phase", "")
    if not new["metadata"].get("deletionTimestamp"):
        if phase != "Active":
            yield invalid_value("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")
    elif phase != "Terminating":
        yield invalid_value("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")


def _cells(namespace: Object, now: float) -> list[Any]:
    return [
        namespace["metadata"]["name"],
        (namespace.get("status") or {}).get("phase", ""),
        table.age(namespace, now),
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_status=_validate_status,
    name="label",
    status=True,
    returns_deleted=True,
    cells=_cells,
    fields={"status.phase": lambda namespace: str((namespace.get("status") or {}).get("phase", ""))},
)
