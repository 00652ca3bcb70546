"""What upstream's converter from unstructured data to Go objects complains about.

Strategic merge patches do not pass through JSON on their way into an object, so a wrong type in one is told in the
words of this converter.
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import golang
from kloster.apimachinery.schema.model import Leaf, ListType, MapType, StructType, Type

_KINDS = {
    Leaf.STRING: "string",
    Leaf.INT32: "int32",
    Leaf.INT64: "int64",
    Leaf.FLOAT: "float64",
    Leaf.BOOL: "bool",
}


def problem(type: Type, value: Any) -> str:
    """The first complaint about `value` as a `type`; empty if there is none."""
    if value is None:
        return ""
    if isinstance(type, Leaf):
        return _leaf(type, value)
    if isinstance(type, ListType):
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        return next(filter(None, (problem(type.item, item) for item in value)), "")
    if not isinstance(value, dict):
        what = "map" if isinstance(type, MapType) else "struct"
        return f"cannot restore {what} from{':' if what == 'struct' else ''} {_kind(value)}"
    if isinstance(type, MapType):
        return next(filter(None, (problem(type.value, item) for item in value.values())), "")
    return _struct(type, value)


def _struct(type: StructType, value: dict[str, Any]) -> str:
    for name, field in type.fields.items():
        found = problem(field.type, value.get(name))
        if found:
            return found
    return ""


def _kind(value: Any) -> str:
    """Go's reflect.Kind of a value."""
    if isinstance(value, dict):
        return "map"
    return "slice" if isinstance(value, list) else golang.kind(value)


def _leaf(type: Leaf, value: Any) -> str:
    target = _KINDS.get(type)
    if target is None:
        return ""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "bool": isinstance(value, bool),
        "float64": number,
    }.get(target, number)
    if fits:
        return ""
    if target == "string" and number and isinstance(value, int):
        return "cannot convert int64 to string"
    return f"unrecognized type: {target}"
