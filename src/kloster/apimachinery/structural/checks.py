"""What a schema of a CustomResourceDefinition may say, beyond being structural (`skeleton`).

Kubernetes takes a part of OpenAPI v3 only: no references, no patternProperties, nothing that is quadratic. Its own
extensions must fit together, and a default must be what the schema demands. Rules (x-kubernetes-validations) are
checked as far as they are text; what they say in CEL is not looked at.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required
from kloster.apimachinery.structural import pruning, skeleton
from kloster.apimachinery.structural.model import Structural
from kloster.apimachinery.structural.values import Checker, identical
from kloster.apimachinery.structural.values import validate as validate_value

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_META = ("metadata", "kind", "apiVersion")
_LIST_TYPE, _MAP_TYPE, _KEYS = "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"
_RULES = "x-kubernetes-validations"
_MINOR = 34  # whose formats defaults must have: those that every version knows


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is: inside of metadata, and why defaults are forbidden there, if they are."""

    meta: bool = False
    no_defaults: str = ""


Embedded = Callable[[Structural, Any, str], Iterable[FieldError]]


def validate(schema: Object, path: str, embedded: Embedded) -> list[FieldError]:
    """Findings about a whole schema, its skeleton included. `embedded` judges objects inside of defaults."""
    found = [] if _is_foreign(schema) else skeleton.validate(schema, path)
    if not found:
        root = Structural(schema)
        root.embedded = True
        found = list(_defaults(root, path, embedded))
    return [*found, *_openapi(schema, path, _Place(), is_root=True)]


_FOREIGN = ("id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions")


def _is_foreign(schema: Object) -> bool:
    """Whether there is anything that makes no part of a structural schema: then only that is told."""
    if any(schema.get(name) not in (None, "", {}) for name in _FOREIGN) or isinstance(schema.get("items"), list):
        return True
    inner = [schema.get("items"), schema.get("not"), schema.get("additionalProperties")]
    for junctor in ("allOf", "anyOf", "oneOf"):
        inner.extend(schema.get(junctor) or ())
    inner.extend((schema.get("properties") or {}).values())
    return any(isinstance(each, dict) and _is_foreign(each) for each in inner)


# --- defaults -----------------------------------------------------------------------------------------------------


def _defaults(schema: Structural, path: str, embedded: Embedded) -> Iterator[FieldError]:
    """A default must be known to the schema, and valid."""
    if schema.raw.get("default") is not None:
        value, at = schema.default, f"{path}.default"
        if not identical(pruning.prune(value, schema), value):
            yield invalid_value(at, value, "must not have unknown fields")
        found = list(embedded(schema, value, at))
        yield from found or validate_value(Checker(schema.raw, _MINOR), value, path=at)
    if schema.items is not None:
        yield from _defaults(schema.items, f"{path}.items", embedded)
    for name, inner in schema.properties.items():
        if not schema.embedded or name not in _META:
            yield from _defaults(inner, f"{path}.properties[{name}]", embedded)


# --- the rest -----------------------------------------------------------------------------------------------------


def _openapi(schema: Object, path: str, place: _Place, is_root: bool = False) -> Iterator[FieldError]:
    yield from _unsupported(schema, path, place)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", text)
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    if additional is not None:
        if properties and additional is not True:
            text = "additionalProperties and properties are mutual exclusive"
            yield forbidden_field(f"{path}.additionalProperties", text)
        if isinstance(additional, dict):
            inner = place
            if place.meta:
                inner = replace(place, no_defaults="inside additionalProperties applying to object metadata")
            yield from _openapi(additional, f"{path}.additionalProperties", inner)
    whole = is_root or schema.get("x-kubernetes-embedded-resource")
    for name, each in properties.items():
        inner = place
        if whole and name in _META:
            inner = replace(place, meta=True)
            if is_root:
                inner = replace(inner, no_defaults=f"in top-level {name}")
        yield from _openapi(each, f"{path}.properties[{name}]", inner)
    if schema.get("not") is not None:
        yield from _openapi(schema["not"], f"{path}.not", place)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for index, each in enumerate(schema.get(junctor) or ()):
            yield from _openapi(each, f"{path}.{junctor}[{index}]", place)
    items = schema.get("items")
    if isinstance(items, dict):
        yield from _openapi(items, f"{path}.items", place)
    elif isinstance(items, list):
        for index, each in enumerate(items):
            yield from _openapi(each, f"{path}.items[{index}]", place)
    yield from _extensions(schema, path)
    for index, rule in enumerate(schema.get(_RULES) or ()):
        at = f"{path}.{_RULES}[{index}]"
        yield from _rule(rule, at)
        field = rule.get("fieldPath")
        if field and field_path(Structural(schema), field)[2]:
            yield invalid_value(f"{at}.fieldPath", field, "must be a valid path")


def _unsupported(schema: Object, path: str, place: _Place) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if schema.get("default") is not None and place.no_defaults:
        yield forbidden_field(f"{path}.default", f"must not be set {place.no_defaults}")
    if schema.get("id"):
        yield forbidden_field(f"{path}.id", "id is not supported")
    for name in ("additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
        value = schema.get(name)
        if value is not None and (value or name not in ("patternProperties", "definitions")):
            yield forbidden_field(f"{path}.{name}", f"{name} is not supported")
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        yield forbidden_field(f"{path}.type", text)
    if isinstance(schema.get("items"), list):
        yield forbidden_field(f"{path}.items", "items must be a schema object and not an array")
    if place.meta and schema.get("x-kubernetes-embedded-resource"):
        yield forbidden_field(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")


def _extensions(schema: Object, path: str) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid_value(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    map_type, list_type = schema.get(_MAP_TYPE), schema.get(_LIST_TYPE)
    if map_type is not None and kind != "object":
        yield _wrong_type(path, kind, f"must be object if {_MAP_TYPE} is specified")
    if map_type is not None and map_type not in ("atomic", "granular"):
        yield not_supported(f"{path}.{_MAP_TYPE}", map_type, ("atomic", "granular"))
    if list_type is not None and kind != "array":
        yield _wrong_type(path, kind, f"must be array if {_LIST_TYPE} is specified")
    elif list_type == "set":
        yield from _set(schema, path)
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        yield not_supported(f"{path}.{_LIST_TYPE}", list_type, ("atomic", "set", "map"))
    if schema.get(_KEYS) and list_type != "map":
        text = f"must be map if {_KEYS} is non-empty"
        at = f"{path}.{_LIST_TYPE}"
        yield required(at, text) if list_type is None else invalid_value(at, list_type, text)
    if list_type == "map":
        yield from _map(schema, path)
    if list_type in ("set", "map") and isinstance(schema.get("items"), dict):
        yield from _map_keys(schema, list_type, path)


def _wrong_type(path: str, kind: str, text: str) -> FieldError:
    return invalid_value(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)


def _set(schema: Object, path: str) -> Iterator[FieldError]:
    items = schema.get("items")
    if not isinstance(items, dict):
        return
    text = f"must be atomic as item of a list with {_LIST_TYPE}=set"
    if items.get("type") == "array" and items.get(_LIST_TYPE) not in (None, "atomic"):
        yield invalid_value(f"{path}.items.{_LIST_TYPE}", items.get(_LIST_TYPE), text)
    if items.get("type") == "object" and items.get(_MAP_TYPE) != "atomic":
        yield invalid_value(f"{path}.items.{_MAP_TYPE}", items.get(_LIST_TYPE), text)


def _map(schema: Object, path: str) -> Iterator[FieldError]:
    keys, items = schema.get(_KEYS) or [], schema.get("items")
    if not keys:
        yield required(f"{path}.{_KEYS}", f"must not be empty if {_LIST_TYPE} is map")
    if items is None:
        yield required(f"{path}.items", f"must have a schema if {_LIST_TYPE} is map")
        return
    if not isinstance(items, dict):
        yield invalid_value(f"{path}.items", items, f"must only have a single schema if {_LIST_TYPE} is map")
        return
    if items.get("type") != "object":
        text = f"must be object if parent array's {_LIST_TYPE} is map"
        yield invalid_value(f"{path}.items.type", items.get("type") or "", text)
        return
    seen = set()
    for key in keys:
        inner = (items.get("properties") or {}).get(key)
        if inner is None:
            yield invalid_value(f"{path}.{_KEYS}", keys, "entries must all be names of item properties")
        elif inner.get("type") in ("array", "object"):
            text = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
            yield invalid_value(f"{path}.items.properties[{key}].type", items.get("type"), text)
        if key in seen:
            yield invalid_value(f"{path}.{_KEYS}", keys, "must not contain duplicate entries")
        seen.add(key)


def _map_keys(schema: Object, list_type: str, path: str) -> Iterator[FieldError]:
    """Items are never null; keys are always there."""
    items = schema["items"]
    if items.get("nullable"):
        text = f"cannot be nullable when {_LIST_TYPE} is {list_type}"
        yield forbidden_field(f"{path}.items.nullable", text)
    if list_type != "map":
        return
    for key in schema.get(_KEYS) or ():
        inner = (items.get("properties") or {}).get(key)
        if inner is None:
            continue
        at = f"{path}.items.properties[{key}]"
        if key not in (items.get("required") or ()) and inner.get("default") is None:
            text = f"this property is in {_KEYS}, so it must have a default or be a required property"
            yield required(f"{at}.default", text)
        if inner.get("nullable"):
            yield forbidden_field(f"{at}.nullable", f"this property is in {_KEYS}, so it cannot be nullable")


_NEWLINES = re.compile(r"[\n\r]").search


def _rule(rule: Object, path: str) -> Iterator[FieldError]:
    text, message = rule.get("rule") or "", rule.get("message") or ""
    if not text.strip():
        yield required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid_value(f"{path}.message", message, "must be non-empty if specified")
    elif _NEWLINES(message.strip()):
        yield invalid_value(f"{path}.message", message, "must not contain line breaks")
    elif _NEWLINES(text.strip()) and not message.strip():
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        yield not_supported(f"{path}.reason", reason, _REASONS)
    field = rule.get("fieldPath") or ""
    if field and not field.strip():
        yield invalid_value(f"{path}.fieldPath", field, "must be non-empty if specified")
    if _NEWLINES(field):
        yield invalid_value(f"{path}.fieldPath", field, "must not contain line breaks")


# --- paths --------------------------------------------------------------------------------------------------------

_ENDS = r"[.\[]"
_STEP = re.compile(r"\.([a-zA-Z_][a-zA-Z0-9_-]*)|\['((?:[^'\\]|\\.)*)'\]|\[(\d+)\]")


def field_path(schema: Structural, text: str) -> tuple[list[str], Structural | None, str]:
    """(the names, the schema there, what is wrong) for a path such as ``.spec.color``. Lists have no paths."""
    at, node = 0, schema
    names: list[str] = []
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            rest = text[at:]
            return names, None, f"expected [ or . but got: {re.split(_ENDS, rest)[0] or rest}"
        if found[3] is not None:
            return names, None, "array notation is not allowed"
        name = found[1] if found[1] is not None else found[2].replace("\\", "")
        inner = node.child(name)
        if inner is None:
            return names, None, "does not refer to a valid field"
        names.append(name)
        node, at = inner, found.end()
    return names, node, ""


def selectable(fields: list[Object], schema: Structural, path: str) -> Iterator[FieldError]:
    """spec.versions[].selectableFields: at most eight scalars outside of metadata."""
    seen: set[str] = set()
    for index, field in enumerate(fields):
        text, at = field.get("jsonPath") or "", f"{path}[{index}].jsonPath"
        if not text:
            yield required(at)
            continue
        names, found, problem = field_path(schema, text)
        if problem or found is None or not names:
            yield invalid_value(at, text, f"is an invalid path: {problem}")
            continue
        if names[0] == "metadata":
            yield invalid_value(at, text, "must not point to fields in metadata")
        if found.type not in ("string", "boolean", "integer"):
            wanted = "must point to a field of type string, boolean or integer. "
            wanted += "Enum string fields and strings with formats are allowed."
            yield invalid_value(at, text, wanted)
        key = ".".join(names)
        if key in seen:
            yield duplicate(at, text)
        seen.add(key)
    if len(seen) > 8:
        text = f"Too many: {len(seen)}: must have at most 8 items"
        yield FieldError("FieldValueTooMany", path, text)
