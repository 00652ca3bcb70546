"""StorageVersionMigrations: rewriting what is stored in an old version (v1 since 1.37).

Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, conditions, lifecycle, metadata
from kloster.kinds.strategy import Strategy


def _resource(migration: Object) -> Object:
    return (migration.get("spec") or {}).get("resource") or {}


def _validate(migration: Object) -> list[FieldError]:
    found = []
    if not _resource(migration).get("resource"):
        found.append(errors.required("spec.resource.resource", "resource is required"))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return [
        found
        for name in ("group", "resource")
        for found in metadata.immutable(
            checks.text(_resource(new).get(name)), checks.text(_resource(old).get(name)), name
        )
    ]


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    status, before = new.get("status") or {}, old.get("status") or {}
    reported, path = status.get("conditions"), "status.conditions"
    found = conditions.validate(path, reported)
    version, old_version = status.get("resourceVersion"), before.get("resourceVersion")
    if old_version and version != old_version:
        found.append(errors.invalid_value("status.resourceVersion", version, metadata.IMMUTABLE))
    succeeded, failed = (conditions.is_true(reported, kind) for kind in ("Succeeded", "Failed"))
    running = conditions.is_true(reported, "Running")
    texts = []
    if succeeded and failed:
        texts.append("Both success and failed conditions cannot be true at the same time")
    if succeeded and running:
        texts.append("Running condition cannot be true when success condition is true")
    if failed and running:
        texts.append("Running condition cannot be true when failed condition is true")
    if conditions.is_true(before.get("conditions"), "Succeeded") and not succeeded:
        texts.append("Success condition cannot be set to false once it is true")
    if conditions.is_true(before.get("conditions"), "Failed") and not failed:
        texts.append("Failed condition cannot be set to false once it is true")
    return [*found, *checks.complaints(path, reported, texts)]


def _cells(migration: Object, _now: float) -> list[Any]:
    resource, reported = _resource(migration), (migration.get("status") or {}).get("conditions")
    name = errors.qualified(checks.text(resource.get("group")), checks.text(resource.get("resource")))
    states = (kind for kind in ("Succeeded", "Failed", "Running") if conditions.is_true(reported, kind))
    return [migration["metadata"]["name"], name, next(states, "Pending")]


STRATEGY = Strategy(
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec_and_metadata,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    unconditional_update=False,
    cells=_cells,
)
