"""Values for a field: right ones first, then those that are wrong in the ways that validation knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type
from kloster.kinds.catalog import Catalog

Labelled = tuple[str, Any]
"""A short name for a case's id, and the value."""

_LONG = "l" * 254
_LEAVES: dict[Leaf, tuple[Labelled, ...]] = {
    Leaf.STRING: (("a", "a"), ("empty", ""), ("bad", "-Bad_/Name"), ("long", _LONG), ("number", 7)),
    Leaf.INT32: (("1", 1), ("0", 0), ("-1", -1), ("large", 100_000), ("overflow", 2**31), ("text", "x")),
    Leaf.INT64: (("1", 1), ("0", 0), ("-1", -1), ("large", 2**40), ("fraction", 1.5)),
    Leaf.FLOAT: (("1.5", 1.5), ("-1", -1), ("text", "x")),
    Leaf.BOOL: (("true", True), ("false", False), ("text", "x")),
    Leaf.BYTES: (("a", "YQ=="), ("empty", ""), ("bad", "!")),
    Leaf.QUANTITY: (("1", "1"), ("0", "0"), ("-1", "-1"), ("1500m", "1500m"), ("number", 1), ("bad", "x!")),
    Leaf.INT_OR_STRING: (
        ("1", 1),
        ("0", 0),
        ("-1", -1),
        ("large", 100_000),
        ("10%", "10%"),
        ("150%", "150%"),
        ("bad", "-Bad_/Name"),
        ("bool", True),
    ),
    Leaf.TIME: (("right", "2024-01-02T03:04:05Z"), ("bad", "x")),
    Leaf.MICRO_TIME: (("right", "2024-01-02T03:04:05.000000Z"), ("bad", "x")),
    Leaf.DURATION: (("right", "5s"), ("bad", "x")),
    Leaf.RAW: (("object", {"a": 1}), ("text", "x")),
    Leaf.FIELDS: (("object", {}), ("text", "x")),
    Leaf.ANY: (("object", {"a": 1}), ("text", "x"), ("null", None)),
}
_ENUM = re.compile(r'^ - `"(.*?)"`', re.MULTILINE)
# Maps of resources are told by their value's type; their keys are names of resources.
_RESOURCE = "cpu"


class Values:
    """`hints` are valid values of Go types (objects.yaml)."""

    def __init__(self, catalog: Catalog, hints: dict[str, Any]) -> None:
        self._catalog = catalog
        self._hints = hints

    @cached_property
    def _descriptions(self) -> Any:
        return self._catalog.descriptions()

    def enum(self, struct: StructType, field: Field) -> list[str]:
        """The values that upstream's documentation of the field enumerates."""
        text = self._descriptions.get(struct.name, ("", {}))[1].get(field.name, "")
        _, _, listed = text.partition("Possible enum values:")
        return _ENUM.findall(listed)

    def minimal(self, type: Type, depth: int = 0) -> Any:
        """The least value of a type that has a chance to be valid."""
        if isinstance(type, Leaf):
            return _LEAVES[type][0][1]
        if isinstance(type, ListType):
            return [self.minimal(type.item, depth)]
        if isinstance(type, MapType):
            return {self.key(type): self.minimal(type.value, depth)}
        if type.name in self._hints:
            return self._hints[type.name]
        if depth > 5:
            return {}
        return {
            field.name: self.valid(type, field, depth + 1)
            for field in type.fields.values()
            if field.required and field.name not in ("metadata", "status")
        }

    def valid(self, struct: StructType, field: Field, depth: int = 0) -> Any:
        if field.type is Leaf.STRING and (known := self.enum(struct, field)):
            return known[0]
        if isinstance(field.type, ListType) and field.type.item is Leaf.STRING and (known := self.enum(struct, field)):
            return known[:1]
        return self.minimal(field.type, depth)

    @staticmethod
    def key(type: MapType) -> str:
        return _RESOURCE if type.value is Leaf.QUANTITY else "a"

    def variants(self, struct: StructType, field: Field) -> Iterator[Labelled]:
        """All values that are tried for a field, by label."""
        type = field.type
        known = self.enum(struct, field)
        if isinstance(type, Leaf):
            if type is Leaf.STRING and known:
                yield from ((value, value) for value in known)
            yield from _LEAVES[type]
        elif isinstance(type, ListType):
            yield from self._lists(struct, field, type, known)
        elif isinstance(type, MapType):
            yield from self._maps(type)
        else:
            yield "valid", self.minimal(type)
            yield "{}", {}
            yield "null", None
            yield "text", "x"
            if isinstance(type, EitherType):
                yield "other", self.minimal(type.other)
            else:
                yield "unknown", {**self.minimal(type), "bogus": 1}

    def _lists(self, struct: StructType, field: Field, type: ListType, known: list[str]) -> Iterator[Labelled]:
        one = self.valid(struct, field)
        yield "one", one
        yield "twice", [*one, *one]
        yield "[]", []
        yield "null", None
        yield "object", {}
        yield "[null]", [None]
        if isinstance(type.item, StructType):
            yield "[{}]", [{}]
        elif isinstance(type.item, Leaf):
            yield from ((f"[{value}]", [value]) for value in known)
            yield from ((f"[{label}]", [value]) for label, value in _LEAVES[type.item][1:])

    def _maps(self, type: MapType) -> Iterator[Labelled]:
        right = self.minimal(type.value)
        yield "one", {self.key(type): right}
        yield "{}", {}
        yield "null", None
        yield "text", "x"
        yield "bad key", {"-Bad_/Na me": right}
        yield "empty key", {"": right}
        yield "long key", {_LONG: right}
        if isinstance(type.value, Leaf):
            yield from ((f"{{{label}}}", {self.key(type): value}) for label, value in _LEAVES[type.value][1:])
        else:
            yield "null value", {self.key(type): None}


def other(value: Any) -> Any:
    """A value of the same type that differs from `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value):
            return value.replace("2024", "2025", 1)
        if re.fullmatch(r"\d+(Ki|Mi|Gi|m)?", value):
            return f"1{value}"
        return value + "z"
    if isinstance(value, list):
        return [*value, other(value[-1])] if value else value
    if isinstance(value, dict):
        return {key: other(inner) for key, inner in value.items()}
    return value
