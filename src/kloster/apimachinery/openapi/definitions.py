"""Schemas of Go types, as kube-openapi generates them from the same types.

Described types are those of `schema.build`: fields in order, with flags and extras. The rules that upstream follows:
what is no pointer and may not be left out has its zero value as default, structs ``{}``, elements of lists and maps
too (`elements`: until 1.36); beyond that defaults are named (extra ``d``). A reference with something beside it
stands in ``allOf``.

`Form` is where version 2 and version 3 differ: version 2 has no defaults and says less about numbers that may be
text.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

from kloster.apimachinery.schema.build import META, Described

Schema = dict[str, Any]
Texts = Mapping[str, Any]

_EXTENSIONS = "apiextensions-apiserver/pkg/apis/apiextensions/v1"
QUANTITY = "apimachinery/pkg/api/resource.Quantity"
INT_OR_STRING = "apimachinery/pkg/util/intstr.IntOrString"
_DATE = {"type": "string", "format": "date-time"}

# Types with a definition of their own that are no structs to JSON.
LEAVES: dict[str, Schema] = {
    f"{META}.Time": _DATE,
    f"{META}.MicroTime": _DATE,
    f"{META}.Duration": {"type": "string"},
    f"{META}.FieldsV1": {"type": "object"},
    f"{META}.Patch": {"type": "object"},
    "apimachinery/pkg/runtime.RawExtension": {"type": "object"},
    f"{_EXTENSIONS}.JSON": {},
    f"{_EXTENSIONS}.JSONSchemaPropsOrArray": {},
    f"{_EXTENSIONS}.JSONSchemaPropsOrBool": {},
    f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray": {},
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_IN_V2: dict[str, Schema] = {
    QUANTITY: {"type": "string"},
    INT_OR_STRING: {"type": "string", "format": "int-or-string"},
}
_PLAIN: dict[str, tuple[Schema, Any]] = {
    "string": ({"type": "string"}, ""),
    "int32": ({"type": "integer", "format": "int32"}, 0),
    "int64": ({"type": "integer", "format": "int64"}, 0),
    "float64": ({"type": "number", "format": "double"}, 0),
    "bool": ({"type": "boolean"}, False),
    "bytes": ({"type": "string", "format": "byte"}, None),
    "interface": ({"type": "object"}, None),
}


class Form(enum.Enum):
    """A version of OpenAPI, by where it keeps definitions."""

    V2 = "#/definitions/"
    V3 = "#/components/schemas/"


def name_of(go_type: str) -> str:
    """``api/core/v1.Pod`` → ``io.k8s.api.core.v1.Pod``."""
    return "io.k8s." + go_type.replace("/", ".")


def reference(form: Form, go_type: str) -> Schema:
    return {"$ref": form.value + name_of(go_type)}


def definition(
    form: Form, go_type: str, described: Described | None, text: str, texts: Texts, elements: bool = True
) -> Schema:
    """The schema of a Go type. `described` is None for types that are no structs."""
    schema: Schema = {"description": text} if text else {}
    leaf = LEAVES.get(go_type)
    if leaf is not None:
        return schema | (_IN_V2.get(go_type, leaf) if form is Form.V2 else leaf)
    extras, fields = described or ({}, [])
    schema["type"] = "object"
    required = [field[0] for field in fields if len(field) > 4 and "r" in field[4]]
    if required:
        schema["required"] = required
    if fields:
        properties = {field[0]: _property(form, field, texts.get(field[0], ""), elements) for field in fields}
        schema["properties"] = dict(sorted(properties.items()))
    if "g" in extras:
        schema["x-kubernetes-group-version-kind"] = [
            {"group": group, "version": version, "kind": kind} for group, version, kind in extras["g"]
        ]
    if "a" in extras:
        schema["x-kubernetes-map-type"] = "atomic"
    if "u" in extras:
        schema["x-kubernetes-unions"] = extras["u"]
    return schema


def _property(form: Form, field: list[Any], text: str, elements: bool) -> Schema:
    _, flags, go_type, _, *rest = field
    extras: Mapping[str, Any] = rest[0] if rest else {}
    schema = {"description": text} if text else {}
    inner = _value(form, go_type, extras.get("o"), elements and form is Form.V3)
    if form is Form.V3:
        default = extras["d"] if "d" in extras else _zero(go_type, flags)
        if default is not None:
            schema["default"] = default
    for letter, extension in (
        ("l", "x-kubernetes-list-type"),
        ("k", "x-kubernetes-list-map-keys"),
        ("m", "x-kubernetes-patch-merge-key"),
        ("t", "x-kubernetes-map-type"),
    ):
        if letter in extras:
            schema[extension] = extras[letter]
    if "s" in extras:
        schema["x-kubernetes-patch-strategy"] = ",".join(extras["s"])
    return _joined(form, schema, inner)


def _joined(form: Form, schema: Schema, inner: Schema) -> Schema:
    """What is said about a value beside its type."""
    if "$ref" in inner and schema and form is Form.V3:
        return schema | {"allOf": [inner]}
    return schema | inner


def _value(form: Form, go_type: str, choices: list[str] | None, elements: bool) -> Schema:
    go_type = go_type.removeprefix("*")
    if go_type.startswith("[]"):
        return {"type": "array", "items": _element(form, go_type[2:], choices, elements)}
    if go_type.startswith("map[string]"):
        element = _element(form, go_type[len("map[string]") :], choices, elements)
        return {"type": "object", "additionalProperties": element}
    plain = _PLAIN.get(go_type)
    if plain is None:
        return reference(form, go_type)
    return plain[0] | {"enum": choices} if choices else plain[0]


def _element(form: Form, go_type: str, choices: list[str] | None, elements: bool) -> Schema:
    default = _zero(go_type, "") if elements else None
    return _joined(form, {} if default is None else {"default": default}, _value(form, go_type, choices, elements))


def _zero(go_type: str, flags: str) -> Any:
    """The default of a type that is no pointer; None if it has none."""
    if go_type.startswith(("*", "[]", "map[")) or go_type in LEAVES:
        return None
    plain = _PLAIN.get(go_type)
    if plain is None:
        return {}
    return None if "e" in flags else plain[1]


def references(schema: Any) -> Iterator[str]:
    """The names of definitions that a schema, an operation or a document points to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                if value.startswith((Form.V2.value, Form.V3.value)):
                    yield value.rpartition("/")[2]
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from references(item)
