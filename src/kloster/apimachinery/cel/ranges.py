"""Sizes and costs as ranges, and what estimates of calls ask of the estimate of the whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from . import tree
    from .types import Type

MOST = 2**64 - 1
Path = tuple[str, ...]


class Range(NamedTuple):
    """A size or a cost: at least and at most."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.least + other.least, MOST), min(self.most + other.most, MOST))

    def times(self, other: Range) -> Range:
        return Range(min(self.least * other.least, MOST), min(self.most * other.most, MOST))

    def factor(self, factor: float) -> Range:
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def _scaled(value: int, factor: float) -> int:
    floating = float(value)
    if floating > 0 and factor > 0 and floating > MOST / factor:
        return MOST
    scaled = math.ceil(floating * factor)
    return MOST if scaled >= 2**64 else scaled


UNKNOWN = Range(0, MOST)
ZERO = Range(0, 0)
ONE = Range(1, 1)


def fixed(value: int) -> Range:
    return Range(value, value)


class Entries(NamedTuple):
    """What is known of the sizes of a container's keys (or indexes) and values."""

    kind: str
    key: Range
    value: Range

    def union(self, other: Entries) -> Entries:
        return Entries(self.kind, self.key.union(other.key), self.value.union(other.value))


class Sized(NamedTuple):
    """An operand as functions' estimates see it: its type, where it stands in the schema, and its size if known."""

    type: Type
    path: Path | None
    node: tree.Node | None
    size: Range | None


class Knowledge(Protocol):
    """What is known while an expression is being estimated."""

    def entries(self, node: tree.Node) -> Entries | None: ...

    def set_entries(self, node: tree.Node, entries: Entries | None) -> None: ...

    def declared(self, path: Path) -> Range | None:
        """The size that the schema gives to the value at a path."""
        ...
