"""ConfigMaps: text and bytes under keys that can be file names, at most 1 MiB.

Source: https://kubernetes.io/docs/concepts/configuration/configmap/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, too_long
from kloster.kinds import cells as table
from kloster.kinds import metadata, names
from kloster.kinds.strategy import Strategy

LIMIT = 1024 * 1024
"""Bytes of all values of a ConfigMap or Secret."""

IMMUTABLE_SET = "field is immutable when `immutable` is set"


def decoded_length(text: str) -> int:
    """How many bytes base64 text stands for."""
    text = "".join(text.split()).rstrip("=")
    return len(text) * 3 // 4


def _validate(config: Object) -> Iterable[FieldError]:
    data, binary = config.get("data") or {}, config.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        yield from (invalid_value(f"data[{key}]", key, text) for text in names.config_key(key))
        if key in binary:
            yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value.encode())
    for key, value in binary.items():
        yield from (invalid_value(f"binaryData[{key}]", key, text) for text in names.config_key(key))
        size += decoded_length(value)
    if size > LIMIT:
        yield too_long(metadata.WHOLE_OBJECT, LIMIT)


def validate_immutable(new: Object, old: Object, *fields: str) -> Iterable[FieldError]:
    """Once ``immutable: true`` is set it stays, and so do the data. Secrets have the same rule."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", IMMUTABLE_SET)
    for field in fields:
        if not metadata.same(new.get(field), old.get(field)):
            yield forbidden_field(field, IMMUTABLE_SET)


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    return validate_immutable(new, old, "data", "binaryData")


def _cells(config: Object, now: float) -> list[Any]:
    size = len(config.get("data") or ()) + len(config.get("binaryData") or ())
    return [config["metadata"]["name"], size, table.age(config, now)]


STRATEGY = Strategy(validate=_validate, validate_update=_validate_update, cells=_cells)
