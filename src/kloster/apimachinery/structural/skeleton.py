"""Whether a schema is structural: its types stand outside of the logical junctors, and all that is inside has a place
in the skeleton. The findings are upstream's, sorted as upstream sorts them.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, required
from kloster.apimachinery.structural import patterns

ROOT, ITEM, FIELD = "root", "item", "field"
_EMPTY = {
    ROOT: "must not be empty at the root",
    ITEM: "must not be empty for specified array items",
    FIELD: "must not be empty for specified object fields",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_EMBEDDED = "x-kubernetes-embedded-resource"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EITHER = "x-kubernetes-int-or-string"
# What has no place inside a junctor, and how upstream says so.
_NOT_NESTED = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (_PRESERVE, "must be false to be structural"),
    (_EMBEDDED, "must be false to be structural"),
    (_EITHER, "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)


def validate(schema: Object, path: str) -> list[FieldError]:
    """What is not structural in the schema of a whole resource."""
    found = [*_invariants(schema, ROOT, path), *_completeness(schema, schema, path, path)]
    return sorted(found, key=str)


def _invariants(schema: Object, level: str, path: str) -> Iterator[FieldError]:
    items, properties = schema.get("items"), schema.get("properties") or {}
    if schema.get("type") == "array" and items is None:
        yield required(f"{path}.items", "must be specified")
    if isinstance(items, dict):
        yield from _invariants(items, ITEM, f"{path}.items")
    for name, inner in properties.items():
        yield from _invariants(inner, FIELD, f"{path}.properties[{name}]")
    additional = schema.get("additionalProperties")
    if additional is not None:
        if level == ROOT:
            yield forbidden_field(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, dict):
            yield from _invariants(additional, FIELD, f"{path}.additionalProperties")
    if schema.get(_EITHER):
        for name in (_PRESERVE, _EMBEDDED):
            if schema.get(name):
                yield invalid_value(f"{path}.{name}", True, f"must be false if {_EITHER} is true")
    yield from _values(schema, schema.get("anyOf") == _INT_OR_STRING, _is_all_of_pattern(schema), path)
    yield from _types(schema, level, path)
    yield from _identity(schema, level, path)


def _types(schema: Object, level: str, path: str) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if schema.get(_EMBEDDED):
        text = f"must be object if {_EMBEDDED} is true"
        if not kind:
            yield required(f"{path}.type", text)
        elif kind != "object":
            yield invalid_value(f"{path}.type", kind, text)
        if schema.get("additionalProperties") is not None:
            yield forbidden_field(f"{path}.additionalProperties", f"must not be used if {_EMBEDDED} is set")
        if not schema.get(_PRESERVE) and not schema.get("properties"):
            text = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
            yield required(f"{path}.properties", text)
    elif not kind and not schema.get(_EITHER) and not schema.get(_PRESERVE):
        yield required(f"{path}.type", _EMPTY[level])
    if level == ROOT and kind and kind != "object":
        yield invalid_value(f"{path}.type", kind, "must be object at the root")


def _identity(schema: Object, level: str, path: str) -> Iterator[FieldError]:
    """kind, apiVersion and metadata are what they are; of metadata, only the names may be restricted."""
    properties = schema.get("properties") or {}
    whole = level == ROOT or bool(schema.get(_EMBEDDED))
    for name in ("kind", "apiVersion"):
        if whole and name in properties and properties[name].get("type") != "string":
            given = properties[name].get("type") or ""
            yield invalid_value(f"{path}.properties[{name}].type", given, "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    at = f"{path}.properties[metadata]"
    if whole and metadata.get("type") != "object":
        yield invalid_value(f"{at}.type", metadata.get("type") or "", "must be object")
    if level == ROOT:
        rest = {name: value for name, value in metadata.items() if name not in ("type", "default")}
        if rest.get("properties") and set(rest["properties"]) <= {"name", "generateName"}:
            del rest["properties"]
        if any(value not in (None, "", False, [], {}) for value in rest.values()):
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield forbidden_field(at, text)


def _is_all_of_pattern(schema: Object) -> bool:
    inner: list[Object] = schema.get("allOf") or []
    return bool(inner) and inner[0].get("anyOf") == _INT_OR_STRING


def _values(schema: Object, skip_any: bool, skip_first: bool, path: str) -> Iterator[FieldError]:
    if not skip_any:
        for index, inner in enumerate(schema.get("anyOf") or ()):
            yield from _nested(inner, False, f"{path}.anyOf[{index}]")
    for index, inner in enumerate(schema.get("allOf") or ()):
        yield from _nested(inner, skip_first and index == 0, f"{path}.allOf[{index}]")
    for index, inner in enumerate(schema.get("oneOf") or ()):
        yield from _nested(inner, False, f"{path}.oneOf[{index}]")
    if schema.get("not") is not None:
        yield from _nested(schema["not"], False, f"{path}.not")
    pattern = schema.get("pattern")
    if pattern:
        try:
            patterns.compile(pattern)
        except patterns.PatternError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield invalid_value(f"{path}.pattern", pattern, text)


def _nested(schema: Object, skip_any: bool, path: str) -> Iterator[FieldError]:
    """A schema inside a junctor: nothing but constraints of values."""
    yield from _values(schema, skip_any, False, path)
    items = schema.get("items")
    if isinstance(items, dict):
        yield from _nested(items, False, f"{path}.items")
    for name, inner in (schema.get("properties") or {}).items():
        yield from _nested(inner, False, f"{path}.properties[{name}]")
    for name, text in _NOT_NESTED:
        if _is_set(name, schema.get(name)):
            yield forbidden_field(f"{path}.{name}", text)
    if "metadata" in (schema.get("properties") or {}):
        yield forbidden_field(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _is_set(name: str, value: Any) -> bool:
    if name in ("additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type"):
        return value is not None
    return bool(value)


def _completeness(values: Object, schema: Object, path: str, at: str) -> Iterator[FieldError]:
    """What is constrained inside a junctor must be in the skeleton, too."""
    if values.get("not") is not None:
        yield from _nested_completeness(values["not"], schema, path, f"{at}.not")
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(values.get(junctor) or ()):
            yield from _nested_completeness(inner, schema, path, f"{at}.{junctor}[{index}]")


def _nested_completeness(values: Object, schema: Object | None, path: str, at: str) -> Iterator[FieldError]:
    if schema is None:
        yield required(path, f"because it is defined in {at}")
        return
    yield from _completeness(values, schema, path, at)
    items, own = values.get("items"), schema.get("items")
    if isinstance(items, dict):
        yield from _nested_completeness(items, own if isinstance(own, dict) else None, f"{path}.items", f"{at}.items")
    for name, inner in (values.get("properties") or {}).items():
        place, where = f"{path}.properties[{name}]", f"{at}.properties[{name}]"
        found = (schema.get("properties") or {}).get(name)
        yield from _nested_completeness(inner, found, place, where)
