"""Defaults of a structural schema, and its view of null.

A null where the schema does not allow it counts as absent: it takes the default if there is one, and otherwise goes
(inside a list it stays, and fails validation). Then each absent property with a default gets a copy of it, so that the
defaults inside of a default object are filled in as well. An object that is absent is not made for the sake of the
defaults inside.

A default of a kilobyte in each of a hundred thousand items would be a hundred megabytes, asked for by a small request:
what one object may get is bounded.
"""

from __future__ import annotations

from typing import Any

import orjson

from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import too_large
from kloster.apimachinery.structural.model import MISSING, Structural

MOST_FILLED = 6 << 20
"""Bytes of defaults that one object may get, as JSON: twice the largest body."""

_NAME = "defaults"


class _Allowance:
    """What an object may still get."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_FILLED

    def copy(self, default: Any, size: int) -> Any:
        self.left -= size
        if self.left < 0:
            raise too_large(f"Request entity too large: with its defaults, the object exceeds {MOST_FILLED} bytes")
        return clone(default)


def fill(value: Any, schema: Structural) -> None:
    """Changes `value`, an object or list of the schema, in place. Raises StatusError 413."""
    _fill(value, schema, _Allowance())


def _fill(value: Any, schema: Structural, allowance: _Allowance) -> None:
    if value.__class__ is dict:
        _fill_object(value, schema, allowance)
    elif value.__class__ is list and schema.items is not None:
        items = schema.items
        for index, item in enumerate(value):
            if item is None and not items.nullable and items.default is not MISSING:
                value[index] = item = allowance.copy(items.default, _size(items))
            if item.__class__ is dict or item.__class__ is list:
                _fill(item, items, allowance)


def _fill_object(value: dict[str, Any], schema: Structural, allowance: _Allowance) -> None:
    for name, default, size in _defaults(schema):
        if name not in value or (value[name] is None and not schema.properties[name].nullable):
            value[name] = allowance.copy(default, size)
    gone = []
    for name, item in value.items():
        if item is None:
            inner = schema.child(name)
            if inner is not None and not inner.nullable:
                if inner.default is MISSING:
                    gone.append(name)
                else:
                    value[name] = item = allowance.copy(inner.default, _size(inner))
        if item.__class__ is dict or item.__class__ is list:
            inner = schema.child(name)
            if inner is not None:
                _fill(item, inner, allowance)
    for name in gone:
        del value[name]


def _size(schema: Structural) -> int:
    """Of its default; found once."""
    found: int | None = schema.compiled.get("default size")
    if found is None:
        found = schema.compiled["default size"] = 8 + len(orjson.dumps(schema.default))
    return found


def _defaults(schema: Structural) -> list[tuple[str, Any, int]]:
    """The properties that have one, with its size; found once."""
    found: list[tuple[str, Any, int]] | None = schema.compiled.get(_NAME)
    if found is None:
        properties = schema.properties.items()
        found = [(name, each.default, _size(each)) for name, each in properties if each.default is not MISSING]
        schema.compiled[_NAME] = found
    return found
