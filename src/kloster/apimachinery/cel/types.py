"""CEL's types, as the checker reasons about them and as errors print them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Type:
    """A type: its kind, the name that errors print, and its parameters (elements of a list, key and value of a map)."""

    kind: str
    name: str
    parameters: tuple[Type, ...] = ()
    text: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        inner = ", ".join(each.text for each in self.parameters)
        object.__setattr__(self, "text", f"{self.name}({inner})" if inner else self.name)

    def __str__(self) -> str:
        return self.text


DYN = Type("dyn", "dyn")
ERROR = Type("error", "!error!")
NULL = Type("null", "null")
BOOL = Type("bool", "bool")
INT = Type("int", "int")
UINT = Type("uint", "uint")
DOUBLE = Type("double", "double")
STRING = Type("string", "string")
BYTES = Type("bytes", "bytes")
TIMESTAMP = Type("timestamp", "timestamp")
DURATION = Type("duration", "duration")
TYPE = Type("type", "type")

SCALARS = {"bool", "int", "uint", "double", "timestamp", "duration"}


def list_of(element: Type) -> Type:
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def type_of(inner: Type) -> Type:
    return Type("type", "type", (inner,))


def optional_of(inner: Type) -> Type:
    return Type("opaque", "optional_type", (inner,))


def opaque(name: str) -> Type:
    return Type("opaque", name)


def struct(name: str) -> Type:
    return Type("struct", name)


def parameter(name: str) -> Type:
    return Type("parameter", name)


def is_optional(value: Type) -> bool:
    return value.kind == "opaque" and value.name == "optional_type"


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of a structure: its type, and its name in JSON (expressions use an escaped one)."""

    type: Type
    json_name: str


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A declared object type: what selecting a field of it yields."""

    name: str
    fields: Mapping[str, Field]
