"""Defaults of a structural schema, and its view of null.

A null where the schema does not allow it counts as absent: it takes the default if there is one, and otherwise goes
(inside a list it stays, and fails validation). Then each absent property with a default gets a copy of it, so that the
defaults inside of a default object are filled in as well. An object that is absent is not made for the sake of the
defaults inside.
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery.cloning import clone
from kloster.apimachinery.structural.model import MISSING, Structural

_NAME = "defaults"


def fill(value: Any, schema: Structural) -> None:
    """Changes `value`, an object or list of the schema, in place."""
    if value.__class__ is dict:
        _fill_object(value, schema)
    elif value.__class__ is list and schema.items is not None:
        items = schema.items
        for index, item in enumerate(value):
            if item is None and not items.nullable and items.default is not MISSING:
                value[index] = item = clone(items.default)
            if item.__class__ is dict or item.__class__ is list:
                fill(item, items)


def _fill_object(value: dict[str, Any], schema: Structural) -> None:
    for name, default in _defaults(schema):
        if name not in value or (value[name] is None and not schema.properties[name].nullable):
            value[name] = clone(default)
    gone = []
    for name, item in value.items():
        if item is None:
            inner = schema.child(name)
            if inner is not None and not inner.nullable:
                if inner.default is MISSING:
                    gone.append(name)
                else:
                    value[name] = item = clone(inner.default)
        if item.__class__ is dict or item.__class__ is list:
            inner = schema.child(name)
            if inner is not None:
                fill(item, inner)
    for name in gone:
        del value[name]


def _defaults(schema: Structural) -> list[tuple[str, Any]]:
    """The properties that have one; found once."""
    found: list[tuple[str, Any]] | None = schema.compiled.get(_NAME)
    if found is None:
        found = [(name, inner.default) for name, inner in schema.properties.items() if inner.default is not MISSING]
        schema.compiled[_NAME] = found
    return found
