"""CEL's values in Python, what they are called, and when two are equal, less, or too large.

JSON's values stand for themselves (bool, int, float, str, None, list, dict), so that an object can be looked at without
copying it; `UInt`, bytes, instants, spans, optionals and Kubernetes' types have classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import types
from .numbers import UInt
from .problems import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant, in nanoseconds since 1970."""

    nanoseconds: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span, in nanoseconds."""

    nanoseconds: int


class Optional:
    """A value that may be missing."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self.value = value


NONE = Optional(False)


class Opaque:
    """A value of one of Kubernetes' own types. Subclasses say which and when two are equal."""

    __slots__ = ()
    type: types.Type

    def same(self, other: Any) -> bool:
        raise NotImplementedError

    def size(self) -> int | None:
        """What the cost of comparing it depends on; None if it has no size."""
        return None


class StructValue(dict[str, Any]):
    """An object of a declared type some of whose fields' names are escaped in expressions."""

    __slots__ = ("names",)

    def __init__(self, fields: Mapping[str, Any], names: Mapping[str, str]) -> None:
        super().__init__(fields)
        self.names = names


class SetValue(list[Any]):
    """A list of type `set`: its order means nothing, and adding to it adds what is not there."""

    __slots__ = ()

    def union(self, others: list[Any]) -> SetValue:
        known = {_hashable(each) for each in self}
        return SetValue([*self, *(each for each in others if _hashable(each) not in known)])

    def holds(self, others: list[Any]) -> bool:
        """Whether everything here is among the others."""
        return {_hashable(each) for each in self} <= {_hashable(each) for each in others}


class MapListValue(list[Any]):
    """A list of type `map`: its elements are known by their keys."""

    __slots__ = ("keys",)

    def __init__(self, elements: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(elements)
        self.keys = keys

    def key_of(self, element: Any) -> tuple[Any, ...]:
        return tuple(_hashable(element.get(key)) for key in self.keys) if isinstance(element, dict) else ()

    def by_key(self) -> dict[tuple[Any, ...], Any]:
        return {self.key_of(element): element for element in self}


def _hashable(value: Any) -> Any:
    """Something by which equal values of JSON are found: numbers by value, objects whatever their order."""
    if isinstance(value, dict):
        return frozenset((key, _hashable(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return (isinstance(value, bool), value)


_PLAIN: dict[type, types.Type] = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
    Timestamp: types.TIMESTAMP,
    Duration: types.DURATION,
    types.Type: types.TYPE,
}
LIST = types.Type("list", "list")
MAP = types.Type("map", "map")
OPTIONAL = types.Type("opaque", "optional_type")


def type_of(value: Any) -> types.Type:
    """The type of a value, without parameters."""
    known = _PLAIN.get(type(value))
    if known is not None:
        return known
    if isinstance(value, list | tuple):
        return LIST
    if isinstance(value, dict):
        return MAP
    if isinstance(value, Optional):
        return OPTIONAL
    if isinstance(value, Opaque):
        return value.type
    return types.DYN


_PRINTED = {"null": "null_type", "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}


def type_name(value: Any) -> str:
    """The name of a value's type as errors of evaluation print it."""
    return printed_name(type_of(value))


def printed_name(kind: types.Type) -> str:
    """The name of a type at run time, which for some is that of a protocol buffer."""
    return _PRINTED.get(kind.name, kind.name)


_NUMBERS = (int, float)


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal. Numbers are compared by value; values of other unlike types are unequal."""
    kind, other = type(left), type(right)
    if kind is other and (kind is str or kind is int or kind is bool):
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return kind is other and left == right
    if isinstance(left, _NUMBERS):
        return isinstance(right, _NUMBERS) and left == right
    if isinstance(left, list | tuple):
        return isinstance(right, list | tuple) and _equal_lists(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and _equal_maps(left, right)
    if isinstance(left, Optional):
        return (
            isinstance(right, Optional)
            and left.present == right.present
            and (not left.present or equal(left.value, right.value))
        )
    if isinstance(left, types.Type):
        return isinstance(right, types.Type) and left.kind == right.kind and left.name == right.name
    if isinstance(left, Opaque):
        if not isinstance(right, Opaque) or left.type != right.type:
            raise EvaluationError("no such overload")
        return left.same(right)
    return kind is other and bool(left == right)


def _equal_lists(left: Any, right: Any) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, SetValue):
        return left.holds(right)
    if isinstance(left, MapListValue):
        keyed = MapListValue(list(right), left.keys).by_key()
        return all(key in keyed and equal(mine, keyed[key]) for key, mine in left.by_key().items())
    return all(equal(mine, theirs) for mine, theirs in zip(left, right, strict=True))


def _equal_maps(left: dict[Any, Any], right: dict[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    missing = object()
    for key, mine in left.items():
        theirs = right.get(key, missing)
        if theirs is missing or not equal(mine, theirs):
            return False
    return True


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1. Raises EvaluationError where the two have no order."""
    kind, other = type(left), type(right)
    if isinstance(left, bool) or isinstance(right, bool):
        ordered = kind is other
    elif isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS):
        if left != left or right != right:
            raise EvaluationError("NaN values cannot be ordered")
        if isinstance(left, float) or isinstance(right, float):
            left, right = float(left), float(right)
        ordered = True
    else:
        ordered = kind is other and kind in (str, bytes, Timestamp, Duration)
    if not ordered:
        raise EvaluationError("no such overload")
    return -1 if left < right else 1 if left > right else 0


def size(value: Any) -> int:
    """The size that costs depend on: of text, bytes, lists and maps; one for everything else."""
    kind = value.__class__
    if kind is str or kind is list or kind is dict:
        return len(value)
    if kind is int or kind is bool:
        return 1
    if isinstance(value, str | bytes | list | dict | tuple):
        return len(value)
    if isinstance(value, Optional):
        return size(value.value) if value.present else 1
    if isinstance(value, Opaque):
        known = value.size()
        return 1 if known is None else known
    return 1


def is_zero(value: Any) -> bool:
    """Whether `optional.ofNonZeroValue` takes the value for nothing."""
    if isinstance(value, Optional):
        return not value.present
    if isinstance(value, Timestamp | Duration):
        return value.nanoseconds == 0 and isinstance(value, Duration)
    return not isinstance(value, Opaque | types.Type) and not value
