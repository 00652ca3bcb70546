"""Objects inside of custom resources (x-kubernetes-embedded-resource): their kind, version and metadata.

What they must be like, the root excepted: it is validated as every object's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError, invalid_value
from kloster.apimachinery.structural.model import Structural
from kloster.kinds import metadata, names

_NAME = "embedded"


def validate(schema: Structural, value: Any, path: str = "") -> Iterator[FieldError]:
    """Findings about every embedded object in `value`."""
    if not _concerned(schema):
        return
    if value.__class__ is dict:
        if schema.embedded:
            yield from _validate_object(value, path)
        for name, item in value.items():
            if name in schema.properties:
                yield from validate(schema.properties[name], item, f"{path}.{name}" if path else name)
            elif isinstance(schema.additional, Structural):
                yield from validate(schema.additional, item, f"{path}[{name}]")
    elif value.__class__ is list and schema.items is not None:
        for index, item in enumerate(value):
            yield from validate(schema.items, item, f"{path}[{index}]")


def _concerned(schema: Structural) -> bool:
    """Whether there is an embedded object at or below the node; found once."""
    found: bool | None = schema.compiled.get(_NAME)
    if found is None:
        found = schema.compiled[_NAME] = schema.embedded or any(_concerned(inner) for inner in schema.children())
    return found


def _validate_object(value: Object, path: str) -> Iterator[FieldError]:
    for name in ("apiVersion", "kind"):
        if name not in value:
            yield errors.required(f"{path}.{name}")
    for name, item in value.items():
        at = f"{path}.{name}"
        if name == "apiVersion":
            yield from _validate_version(at, item)
        elif name == "kind":
            yield from _validate_kind(at, item)
        elif name == "metadata" and item.__class__ is dict:
            given = {**item, "name": item.get("name") or "fakename"}
            namespaced = bool(given.get("namespace"))
            yield from metadata.validate_create(given, namespaced=namespaced, name="path", builtin=False, path=at)


def _validate_version(path: str, value: Any) -> Iterator[FieldError]:
    if not isinstance(value, str):
        yield invalid_value(path, value, "must be a string")
    elif not value:
        yield invalid_value(path, value, "must not be empty")
    elif value.count("/") > 1:
        yield invalid_value(path, value, f"unexpected GroupVersion string: {value}")


def _validate_kind(path: str, value: Any) -> Iterator[FieldError]:
    if not isinstance(value, str):
        yield invalid_value(path, value, "must be a string")
    elif not value:
        yield invalid_value(path, value, "must not be empty")
    elif texts := names.label_1035(value.lower()):
        yield invalid_value(path, value, f"may have mixed case, but should otherwise match: {','.join(texts)}")
