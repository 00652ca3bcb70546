"""Version 2 in protobuf, as clients written in Go read it: messages of gnostic's openapi.v2.

A table says for each message which key of the JSON document is which field. Zero values are left out, extensions
(``x-…``) and enumerations are YAML text, which JSON is. Maps are lists of {name, value}, so parts of a document can be
put one behind another.
Source: https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from kloster.apimachinery.protobuf import wire

# Writes a field, tag included.
_Field = Callable[[int, Any], bytes]
# Makes a message's bytes.
_Payload = Callable[[Any], bytes]
_Table = Mapping[str, tuple[int, _Field]]


def document(info: Mapping[str, str], paths: bytes, definitions: bytes, parameters: bytes, security: Any) -> bytes:
    """A whole document from parts that are encoded already."""
    return b"".join(
        (
            _text(1, "2.0"),
            wire.field(2, _info(info)),
            wire.field(8, paths),
            wire.field(9, definitions),
            wire.field(10, parameters),
            *(wire.field(12, _entries(item, 1, _texts)) for item in security["security"]),
            wire.field(13, _entries(security["securityDefinitions"], 1, _security)),
        )
    )


def paths(items: Mapping[str, Any]) -> bytes:
    return _entries(items, 2, _path)


def definitions(items: Mapping[str, Any]) -> bytes:
    return _entries(items, 1, _schema)


def parameters(items: Mapping[str, Any]) -> bytes:
    return _entries(items, 1, _parameter)


# --- values -----------------------------------------------------------------------------------------------------------


def _text(number: int, value: str) -> bytes:
    return wire.field(number, value.encode()) if value else b""


def _bool(number: int, value: bool) -> bytes:
    return wire.tag(number, wire.VARINT) + b"\1" if value else b""


def _integer(number: int, value: int) -> bytes:
    return wire.tag(number, wire.VARINT) + wire.varint(int(value)) if value else b""


def _double(number: int, value: float) -> bytes:
    return wire.tag(number, wire.FIXED64) + struct.pack("<d", value) if value else b""


def _any(number: int, value: Any) -> bytes:
    return wire.field(number, _yaml(value))


def _yaml(value: Any) -> bytes:
    """Any {yaml}."""
    return wire.field(2, orjson.dumps(value) + b"\n")


def _of(payload: _Payload) -> _Field:
    return lambda number, value: wire.field(number, payload(value))


def _list(write: _Field) -> _Field:
    return lambda number, values: b"".join([write(number, value) for value in values])


def _entries(items: Mapping[str, Any], number: int, payload: _Payload) -> bytes:
    """Named entries: {name, value}."""
    return b"".join([wire.field(number, _text(1, name) + wire.field(2, payload(item))) for name, item in items.items()])


def _named(payload: _Payload) -> _Payload:
    return lambda items: _entries(items, 1, payload)


def _first(payload: _Payload) -> _Payload:
    """A message whose first field is the value."""
    return lambda value: wire.field(1, payload(value))


def _message(table: _Table, extension: int = 0) -> _Payload:
    """`extension` is the field of keys that begin with ``x-``."""

    def encode(value: Mapping[str, Any]) -> bytes:
        parts = []
        for key, item in value.items():
            known = table.get(key)
            if known is not None:
                parts.append((known[0], known[1](known[0], item)))
            elif extension and key.startswith("x-"):
                parts.append((extension, wire.field(extension, _text(1, key) + wire.field(2, _yaml(item)))))
        parts.sort(key=lambda part: part[0])
        return b"".join([data for _, data in parts])

    return encode


# --- messages ---------------------------------------------------------------------------------------------------------


def _schema(value: Any) -> bytes:
    return _SCHEMA(value)  # schemas contain schemas


def _additional(value: Any) -> bytes:
    if isinstance(value, dict):
        return wire.field(1, _schema(value))
    return wire.tag(2, wire.VARINT) + (b"\1" if value else b"\0")


def _texts(values: Iterable[str]) -> bytes:
    return b"".join([_text(1, value) for value in values])


def _type(value: str) -> bytes:
    return _text(1, value)


_SCHEMA = _message(
    {
        "$ref": (1, _text),
        "format": (2, _text),
        "title": (3, _text),
        "description": (4, _text),
        "multipleOf": (6, _double),
        "maximum": (7, _double),
        "exclusiveMaximum": (8, _bool),
        "minimum": (9, _double),
        "exclusiveMinimum": (10, _bool),
        "maxLength": (11, _integer),
        "minLength": (12, _integer),
        "pattern": (13, _text),
        "maxItems": (14, _integer),
        "minItems": (15, _integer),
        "uniqueItems": (16, _bool),
        "maxProperties": (17, _integer),
        "minProperties": (18, _integer),
        "required": (19, _list(_text)),
        "enum": (20, _list(_any)),
        "additionalProperties": (21, _of(_additional)),
        "type": (22, _of(_type)),
        "items": (23, _of(_first(_schema))),
        "properties": (25, _of(_named(_schema))),
    },
    31,
)
_BODY = _message(
    {
        "description": (1, _text),
        "name": (2, _text),
        "in": (3, _text),
        "required": (4, _bool),
        "schema": (5, _of(_schema)),
    }
)
_PLAIN: dict[str, tuple[int, _Field]] = {
    "required": (1, _bool),
    "in": (2, _text),
    "description": (3, _text),
    "name": (4, _text),
}
_QUERY = _message(_PLAIN | {"type": (6, _text), "uniqueItems": (20, _bool)})
_PLACE = _message(_PLAIN | {"type": (5, _text), "uniqueItems": (19, _bool)})


def _parameter(value: Mapping[str, Any]) -> bytes:
    """Of the body, of the query or in the path: one field of one field."""
    if value["in"] == "body":
        return wire.field(1, _BODY(value))
    return wire.field(2, wire.field(3, _QUERY(value)) if value["in"] == "query" else wire.field(4, _PLACE(value)))


def _parameter_or_reference(value: Mapping[str, Any]) -> bytes:
    if "$ref" in value:
        return wire.field(2, _text(1, value["$ref"]))
    return wire.field(1, _parameter(value))


_RESPONSE = _message({"description": (1, _text), "schema": (2, _of(_first(_schema)))})
_OPERATION = _message(
    {
        "tags": (1, _list(_text)),
        "description": (3, _text),
        "operationId": (5, _text),
        "produces": (6, _list(_text)),
        "consumes": (7, _list(_text)),
        "parameters": (8, _list(_of(_parameter_or_reference))),
        "responses": (9, _of(_named(_first(_RESPONSE)))),
        "schemes": (10, _list(_text)),
    },
    13,
)
_path = _message(
    {
        "get": (2, _of(_OPERATION)),
        "put": (3, _of(_OPERATION)),
        "post": (4, _of(_OPERATION)),
        "delete": (5, _of(_OPERATION)),
        "options": (6, _of(_OPERATION)),
        "head": (7, _of(_OPERATION)),
        "patch": (8, _of(_OPERATION)),
        "parameters": (9, _list(_of(_parameter_or_reference))),
    }
)
_info = _message({"title": (1, _text), "version": (2, _text)})
_API_KEY = _message({"type": (1, _text), "name": (2, _text), "in": (3, _text), "description": (4, _text)})


def _security(value: Mapping[str, str]) -> bytes:
    return wire.field(2, _API_KEY(value))
