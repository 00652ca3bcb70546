"""How Go's zero values and pointers decide what a default fills in.

A pointer field is defaulted when it is absent; a value field when it is empty, so that ``""`` and ``0`` are defaulted,
too. Null is absent.
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object


def absent(struct: Object, **values: Any) -> None:
    """Fills in pointer fields."""
    for name, value in values.items():
        if struct.get(name) is None:
            struct[name] = value


def empty(struct: Object, **values: Any) -> None:
    """Fills in value fields."""
    for name, value in values.items():
        if not struct.get(name):
            struct[name] = value


def struct(parent: Object, name: str) -> Object:
    """A nested struct, made when it is absent."""
    found = parent.get(name)
    if found is None:
        found = parent[name] = {}
    assert isinstance(found, dict)
    return found
