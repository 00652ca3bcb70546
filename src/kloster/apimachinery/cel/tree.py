"""The nodes of an expression's tree. Each knows its offset in the source; the checker writes types and overloads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import Type

#: The variable in which a comprehension gathers its result; no expression can name it.
ACCUMULATOR = "@result"


@dataclass(slots=True, eq=False)
class Node:
    """An expression. `type` and `overloads` are set by the checker."""

    offset: int
    type: Type | None = field(default=None, init=False)
    overloads: list[str] = field(default_factory=list, init=False)


@dataclass(slots=True, eq=False)
class Literal(Node):
    """A constant: None, bool, int, UInt, float, str or bytes."""

    value: object


@dataclass(slots=True, eq=False)
class Ident(Node):
    """A variable or the name of a type."""

    name: str


@dataclass(slots=True, eq=False)
class Select(Node):
    """A field of an operand, or (for `has`) whether it is there."""

    operand: Node
    field_name: str
    test_only: bool = False


@dataclass(slots=True, eq=False)
class Call(Node):
    """A function, an operator, or a method of `target`."""

    function: str
    target: Node | None
    arguments: list[Node]


@dataclass(slots=True, eq=False)
class ListNode(Node):
    """A list literal; `optional` holds the positions written with `?`."""

    elements: list[Node]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class Entry:
    """One `key: value` of a map literal."""

    offset: int
    key: Node
    value: Node
    optional: bool


@dataclass(slots=True, eq=False)
class MapNode(Node):
    """A map literal."""

    entries: list[Entry]


@dataclass(slots=True, eq=False)
class FieldEntry:
    """One `field: value` of an object literal."""

    offset: int
    name: str
    value: Node
    optional: bool


@dataclass(slots=True, eq=False)
class StructNode(Node):
    """An object literal, `Object.spec{replicas: 1}`."""

    type_name: str
    fields: list[FieldEntry]


@dataclass(slots=True, eq=False)
class Comprehension(Node):
    """A fold over a list or a map, which all macros that iterate expand to."""

    variable: str
    second: str | None
    range: Node
    accumulator: str
    initial: Node
    condition: Node
    step: Node
    result: Node


def qualified_name(node: Node) -> str | None:
    """`a.b.c` of a chain of selections, else None."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test_only:
        prefix = qualified_name(node.operand)
        return f"{prefix}.{node.field_name}" if prefix else None
    return None


def children(node: Node) -> list[Node]:
    """The nodes below one, in the order in which upstream visits them."""
    if isinstance(node, Select):
        return [node.operand]
    if isinstance(node, Call):
        return [*([node.target] if node.target is not None else []), *node.arguments]
    if isinstance(node, ListNode):
        return node.elements
    if isinstance(node, MapNode):
        return [each for entry in node.entries for each in (entry.key, entry.value)]
    if isinstance(node, StructNode):
        return [entry.value for entry in node.fields]
    if isinstance(node, Comprehension):
        return [node.range, node.initial, node.condition, node.step, node.result]
    return []
