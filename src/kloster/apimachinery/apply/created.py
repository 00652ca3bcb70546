"""What a creation owns.

It follows from the type and the *shape* of the object: which fields it has, which of them are empty, and what stands
in lists (whose items are addressed by their content). Values elsewhere do not matter. Most creations repeat a shape:
events, pods of one template. So the answer is remembered by shape.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.fieldset import FieldSet
from kloster.apimachinery.apply.reset import Reset
from kloster.apimachinery.schema.model import StructType

_NAME = "apply.created"
_KEPT = 256
_LONGEST = 2048
"""Bytes of one list that are kept in a shape."""


class _Unusual(Exception):
    """A shape that is too large to be remembered."""


def shape(value: Object) -> Hashable:
    """Equal for objects that differ in nothing but non-empty values outside lists. Raises _Unusual."""
    return tuple((name, _shape(inner)) for name, inner in value.items())


def _shape(value: Any) -> Hashable:
    kind = value.__class__
    if kind is dict:
        return shape(value)
    if kind is list:
        text = orjson.dumps(value)
        if len(text) > _LONGEST:
            raise _Unusual
        return text
    return True if value else repr(value)


def fields(new: Object, type: StructType, reset: Reset, compute: Callable[[], FieldSet]) -> FieldSet:
    """What the creator of `new` owns, in the order in which it is written: as it was for this shape, else `compute`.

    Never change it.
    """
    try:
        key = (id(reset), shape(new))
    except _Unusual:
        return fieldset.ordered(compute())
    known: dict[Hashable, tuple[Reset, FieldSet]] = type.compiled.setdefault(_NAME, {})
    found = known.get(key)
    if found is None:
        if len(known) >= _KEPT:
            known.clear()
        found = known[key] = (reset, fieldset.ordered(compute()))  # `reset` lives as long as its id is used
    return found[1]
