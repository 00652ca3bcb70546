"""From an object's JSON to CEL's values, by its schema: numbers become doubles, texts with formats instants and bytes,
lists know whether they are sets or maps. What needs no change is shared, not copied."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from kloster.apimachinery.cel.functions import times
from kloster.apimachinery.cel.values import MapListValue, SetValue, StructValue
from kloster.apimachinery.rules.escaping import escape
from kloster.apimachinery.structural.model import Structural

Convert = Callable[[Any], Any]
_PLACE = "cel value"


def converter(schema: Structural) -> Convert | None:
    """What makes CEL's value of a node's JSON; None where that is the JSON itself."""
    if _PLACE not in schema.compiled:
        schema.compiled[_PLACE] = _converter(schema)
    found: Convert | None = schema.compiled[_PLACE]
    return found


def _converter(schema: Structural) -> Convert | None:
    if schema.int_or_string:
        return None
    match schema.type:
        case "object":
            return _object(schema)
        case "array":
            return _array(schema)
        case "string":
            return _STRINGS.get(schema.raw.get("format") or "")
        case "number":
            return _number
    return None


def _number(value: Any) -> Any:
    return float(value) if value.__class__ is int else value


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return times.parse_instant(value) or times.parse_instant(f"{value}T00:00:00Z") or value


def _span(value: Any) -> Any:
    return (times.parse_span(value) or value) if isinstance(value, str) else value


def _bytes(value: Any) -> Any:
    try:
        return base64.b64decode(value) if isinstance(value, str) else value
    except (binascii.Error, ValueError):
        return value


_STRINGS: dict[str, Convert] = {"date": _instant, "date-time": _instant, "duration": _span, "byte": _bytes}


def _object(schema: Structural) -> Convert | None:
    if isinstance(schema.additional, Structural) and not schema.properties:
        return _map(converter(schema.additional))
    inner = {name: made for name, each in schema.properties.items() if (made := converter(each)) is not None}
    names: dict[str, str] = {}
    for name in schema.properties:
        escaped = escape(name)
        if escaped is not None and escaped != name:
            names[escaped] = name
    if not inner and not names:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        made = dict(value)
        for name, each in inner.items():
            if name in made:
                made[name] = each(made[name])
        return StructValue(made, names) if names else made

    return convert


def _map(inner: Convert | None) -> Convert | None:
    if inner is None:
        return None
    each = inner

    def convert(value: Any) -> Any:
        return {name: each(held) for name, held in value.items()} if isinstance(value, dict) else value

    return convert


def _array(schema: Structural) -> Convert | None:
    inner = converter(schema.items) if schema.items is not None else None
    keys = schema.list_keys
    kind = schema.list_type
    if inner is None and kind not in ("set", "map"):
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        made = [inner(each) for each in value] if inner is not None else value
        if kind == "map":
            return MapListValue(made, keys)
        return SetValue(made) if kind == "set" else made

    return convert
