"""CustomResourceDefinitions: kinds that a cluster defines for itself.

Defaults and bookkeeping stand here, what it must be like in `validation`, what its status tells in `status`. The
kinds that it defines are made by the API server.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import dataclasses
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import checks, conditions, defaulting, lifecycle, minors
from kloster.kinds.apiextensions import validation
from kloster.kinds.strategy import Strategy


def _spec(crd: Object) -> Object:
    return crd.get("spec") or {}


def _default(crd: Object) -> None:
    spec = defaulting.struct(crd, "spec")
    names = defaulting.struct(spec, "names")
    kind = checks.text(names.get("kind"))
    defaulting.empty(names, singular=kind.lower())
    if kind:
        defaulting.empty(names, listKind=f"{kind}List")
    defaulting.absent(spec, conversion={"strategy": "None"})
    client = (spec["conversion"].get("webhook") or {}).get("clientConfig") or {}
    if (service := client.get("service")) is not None:
        defaulting.absent(service, port=443)
    status = defaulting.struct(crd, "status")
    if not status.get("storedVersions") and (stored := _storage_version(crd)):
        status["storedVersions"] = [stored]


def _storage_version(crd: Object) -> str:
    names = (checks.text(each.get("name")) for each in _spec(crd).get("versions") or () if each.get("storage"))
    return next(names, "")


def _note_stored(crd: Object) -> None:
    """status.storedVersions only ever grows by itself: objects of an old version may still be stored."""
    stored = _storage_version(crd)
    versions = defaulting.struct(crd, "status").get("storedVersions") or []
    if stored and stored not in versions:
        crd["status"]["storedVersions"] = [*versions, stored]


def _prepare_create(crd: Object) -> None:
    lifecycle.clear_status(crd)
    _note_stored(crd)


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_status(new, old)
    _note_stored(new)


def _cells(crd: Object, _now: float) -> list[Any]:
    return [crd["metadata"]["name"], crd["metadata"].get("creationTimestamp")]


def _wide_cells(crd: Object, now: float) -> list[Any]:
    """The columns since 1.37."""
    spec = _spec(crd)
    names = spec.get("names") or {}
    served = [checks.text(version.get("name")) for version in spec.get("versions") or () if version.get("served")]
    established = conditions.is_true((crd.get("status") or {}).get("conditions"), "Established")
    return [
        crd["metadata"]["name"],
        checks.text(spec.get("scope")),
        ",".join(served),
        crd["metadata"].get("creationTimestamp"),
        checks.text(spec.get("group")),
        checks.text(names.get("kind")),
        ",".join(names.get("shortNames") or ()),
        established,
    ]


def _of(minor: int) -> Strategy:
    """Minors differ in the functions that validation rules can call, and in columns."""
    return dataclasses.replace(
        STRATEGY,
        validate=lambda crd: validation.validate(crd, minor),
        cells=_cells if minor < _WIDE_SINCE else _wide_cells,
    )


_WIDE_SINCE = 37

STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=lambda crd: validation.validate(crd, minors.NEWEST),
    validate_update=validation.validate_update,
    validate_status=validation.validate_status,
    generation=True,
    status=True,
    unconditional_update=False,
    cells=_cells,
)
CHANGED = minors.each(_of)
