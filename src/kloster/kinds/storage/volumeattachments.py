"""VolumeAttachments: that a volume is, or shall be, attached to a node."""

from __future__ import annotations

import dataclasses
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, internal, lifecycle, metadata, names
from kloster.kinds.core import persistentvolumes
from kloster.kinds.storage import drivers
from kloster.kinds.strategy import Strategy

_METADATA_SIZE = 256 * 1024
_ERROR_SIZE = 1024
_SPEC = {"attacher": "", "source": {"persistentVolumeName": None, "inlineVolumeSpec": None}, "nodeName": ""}


def _validate(attachment: Object) -> list[FieldError]:
    found = _validate_common(attachment)
    if lifecycle.is_new(attachment):
        found.extend(_validate_new(attachment.get("spec") or {}))
    return found


def _validate_common(attachment: Object) -> list[FieldError]:
    spec = attachment.get("spec") or {}
    node = checks.text(spec.get("nodeName"))
    found = [] if spec.get("attacher") else [errors.required("spec.attacher")]
    found.extend(_source("spec.source", spec.get("source") or {}))
    found.extend(checks.complaints("spec.nodeName", node, names.subdomain(node)))
    return [*found, *_status(attachment.get("status") or {})]


def _source(path: str, source: Object) -> list[FieldError]:
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if name is None and inline is None:
        return [errors.required(path, text)]
    if name is not None and inline is not None:
        return [errors.forbidden_field(path, text)]
    if name == "":
        return [errors.required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")]
    if inline is not None:
        return list(persistentvolumes.validate_spec(inline, f"{path}.inlineVolumeSpec", inline=True))
    return []


def _validate_new(spec: Object) -> list[FieldError]:
    found = drivers.validate_name("spec.attacher", checks.text(spec.get("attacher")))
    if (name := (spec.get("source") or {}).get("persistentVolumeName")) is not None:
        found.extend(checks.complaints("spec.source.persistentVolumeName", name, names.subdomain(name)))
    return found


def _status(status: Object) -> list[FieldError]:
    found = []
    attached = status.get("attachmentMetadata") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in attached.items()) > _METADATA_SIZE:
        found.append(errors.too_long("status.attachmentMetadata", _METADATA_SIZE))
    for name in ("attachError", "detachError"):
        error = status.get(name) or {}
        if len(checks.text(error.get("message")).encode()) > _ERROR_SIZE:
            # Upstream names the limit of the metadata here.
            found.append(errors.too_long(f"status.{name}.message", _METADATA_SIZE))
        if (code := error.get("errorCode")) is not None and code < 0:
            found.append(errors.invalid_value(f"status.{name}.errorCode", code, names.between(0, 2**31 - 1)))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    found = _validate_common(new)
    if not metadata.same(new.get("spec"), old.get("spec")):
        found.append(errors.invalid_value("spec", internal.shown(new.get("spec"), _SPEC), metadata.IMMUTABLE))
    return found


def _prepare_status(new: Object, old: Object) -> None:
    lifecycle.keep_spec_and_metadata(new, old)
    # errorCode is gated until 1.35 (MutableCSINodeAllocatableCount).
    status, before = new.get("status") or {}, old.get("status") or {}
    for name in ("attachError", "detachError"):
        if (before.get(name) or {}).get("errorCode") is None:
            (status.get(name) or {}).pop("errorCode", None)


def _validate_status(new: Object, _old: Object) -> list[FieldError]:
    return _validate_common(new) * 2  # upstream does it twice


def _cells(attachment: Object, now: float) -> list[Any]:
    spec, status = attachment.get("spec") or {}, attachment.get("status") or {}
    return [
        attachment["metadata"]["name"],
        checks.text(spec.get("attacher")),
        checks.text((spec.get("source") or {}).get("persistentVolumeName")),
        checks.text(spec.get("nodeName")),
        bool(status.get("attached")),
        table.age(attachment, now),
    ]


STRATEGY = Strategy(
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    unconditional_update=False,
    returns_deleted=True,
    cells=_cells,
)
CHANGED = {"1.35": dataclasses.replace(STRATEGY, prepare_status=lifecycle.keep_spec_and_metadata)}
