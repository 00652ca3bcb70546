"""A structural schema as CEL sees it: the type of each part, and how large values can become in one request.

Sizes decide what rules may cost. Where the schema sets no bound, what fits into a request of 3 MiB is the bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.types import Structure, Type
from kloster.apimachinery.rules.escaping import escape
from kloster.apimachinery.structural.model import MISSING, Structural

REQUEST = 3 * 1024 * 1024
_DATE, _INSTANT, _SPAN = 12, 32, 32
_LEAST_SPAN, _LEAST_INSTANT = 3, 21


class Declared:
    """One node: its type, the most elements (characters, items, entries) that it can have, and the fewest bytes.

    fields   by the name that expressions use
    names    the property's name for each of those
    element  of lists and maps
    key      of maps
    """

    __slots__ = ("element", "fields", "key", "least_bytes", "most", "names", "schema", "type")

    def __init__(self, kind: Type, most: int, least_bytes: int, schema: Structural | None = None) -> None:
        self.type = kind
        self.most = most
        self.least_bytes = least_bytes
        self.schema = schema
        self.fields: Mapping[str, Declared] = {}
        self.names: Mapping[str, str] = {}
        self.element: Declared | None = None
        self.key: Declared | None = None


_BOOL = Declared(types.BOOL, 0, 4)
_DOUBLE = Declared(types.DOUBLE, 0, 1)
_INT = Declared(types.INT, 0, 1)
_STRING = Declared(types.STRING, 0, 2)
_UNBOUNDED = Declared(types.STRING, REQUEST - 2, 2)
_FORMATS = {
    "duration": Declared(types.DURATION, _SPAN, _LEAST_SPAN),
    "date": Declared(types.TIMESTAMP, _DATE, _DATE),
    "date-time": Declared(types.TIMESTAMP, _INSTANT, _LEAST_INSTANT),
}


def declare(schema: Structural, name: str, *, is_root: bool = False) -> Declared | None:
    """The node of a schema; None if expressions cannot see it. `name` becomes the name of its type."""
    if schema.int_or_string:
        most = schema.raw.get("maxLength")
        return Declared(types.DYN, REQUEST - 2 if most is None else max(most, 0) * 4, 1)
    match schema.type:
        case "array":
            return _array(schema, name)
        case "object":
            if isinstance(schema.additional, Structural) and not is_root:
                return _map(schema, schema.additional, name)
            return _object(schema, name, is_root)
        case "string":
            return _string(schema.raw)
    return {"boolean": _BOOL, "number": _DOUBLE, "integer": _INT}.get(schema.type)


def _array(schema: Structural, name: str) -> Declared | None:
    element = declare(schema.items, f"{name}.@idx", is_root=schema.items.embedded) if schema.items is not None else None
    if element is None:
        return None
    most = schema.raw.get("maxItems")
    most = (REQUEST - 2) // (element.least_bytes + 1) if most is None else max(most, 0)
    made = Declared(types.list_of(element.type), most, 2, schema)
    made.element = element
    return made


def _map(schema: Structural, values: Structural, name: str) -> Declared | None:
    element = declare(values, f"{name}.@elem", is_root=values.embedded)
    if element is None:
        return None
    most = schema.raw.get("maxProperties")
    most = (REQUEST - 2) // (element.least_bytes + 6) if most is None else max(most, 0)
    made = Declared(types.map_of(types.STRING, element.type), most, 2, schema)
    made.element = element
    made.key = _STRING
    return made


def _object(schema: Structural, name: str, is_root: bool) -> Declared:
    properties: dict[str, Structural] = dict(schema.properties)
    fields: dict[str, Declared] = {}
    names: dict[str, str] = {}
    required = frozenset(schema.raw.get("required") or ())
    least = 2
    if is_root and not _has_meta(properties):
        properties.update(_META)
    for property_name, inner in properties.items():
        declared = declare(inner, f"{name}.{property_name}", is_root=inner.embedded)
        if declared is None:
            continue
        escaped = escape(property_name)
        if escaped is not None:
            fields[escaped] = declared
            names[escaped] = property_name
        if property_name in required and inner.default is MISSING:
            least += len(property_name.encode()) + declared.least_bytes + 4
    made = Declared(types.struct(name), 0, least, schema)
    made.fields = fields
    made.names = names
    return made


_META = Structural(
    {
        "type": "object",
        "properties": {
            "kind": {"type": "string"},
            "apiVersion": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
            },
        },
    }
).properties


def _has_meta(properties: Mapping[str, Structural]) -> bool:
    """Whether the schema itself says all that is always there."""
    strings = all(name in properties and properties[name].type == "string" for name in ("kind", "apiVersion"))
    metadata = properties.get("metadata")
    if not strings or metadata is None or metadata.type != "object":
        return False
    inner = metadata.properties
    return all(name in inner and inner[name].type == "string" for name in ("name", "generateName"))


def _string(raw: Mapping[str, Any]) -> Declared:
    form, most = raw.get("format"), raw.get("maxLength")
    if form in _FORMATS:
        return _FORMATS[form]
    if form == "byte":
        return Declared(types.BYTES, REQUEST - 2 if most is None else max(most, 0), 2)
    if most is not None:
        return Declared(types.STRING, max(most, 0) * 4, 2)
    values = raw.get("enum")
    if values:
        return Declared(
            types.STRING, max((len(each.encode()) for each in values if isinstance(each, str)), default=0), 2
        )
    return _UNBOUNDED


def structures(root: Declared) -> dict[str, Structure]:
    """All object types below a node, by name."""
    found: dict[str, Structure] = {}
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type.kind == "struct":
            fields = {name: types.Field(inner.type, node.names[name]) for name, inner in node.fields.items()}
            found[node.type.name] = Structure(node.type.name, fields)
            pending.extend(node.fields.values())
        if node.element is not None:
            pending.append(node.element)
    return found
