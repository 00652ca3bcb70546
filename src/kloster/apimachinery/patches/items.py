"""Lists of a strategic merge patch: finding items by key or value, putting lists in order, and what can be wrong.

Items are compared as Go compares them: true is not 1. Mistakes are answered as upstream answers them, mostly by 500.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from kloster.apimachinery import Object, golang
from kloster.apimachinery.errors import StatusError, bad_request


def fail(text: str) -> NoReturn:
    raise StatusError(500, "", text)


def fail_argument(expected: str, actual: Any) -> NoReturn:
    fail(f"expected a {expected}, but received a {golang.kind(actual) if actual is not None else '%!s(<nil>)'}")


def fail_key(item: Object, key: str) -> NoReturn:
    fail(f"map: {golang.shown(item)} does not contain declared merge key: {key}")


def fail_directive(directive: Any, item: Object) -> NoReturn:
    shown = directive if isinstance(directive, str) else f"%!s({golang.kind(directive)}={golang.shown(directive)})"
    fail(f"unknown patch type: {shown} in map: {golang.shown(item)}")


def as_object(value: Any) -> Object:
    if not isinstance(value, dict):
        fail_argument("map[string]interface {}", value)
    return value


def as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        fail_argument("[]interface {}", value)
    return value


def bad_order() -> StatusError:
    return bad_request("invalid patch format of setElementOrder list")


def in_order(merged: list[Any], wanted: list[Any], live: list[Any], key: str, *, objects: bool) -> list[Any]:
    """Items that `wanted` names come in its order, the others in that of the live list, interleaved by it."""
    named: list[Any] = []
    others: list[Any] = []
    if key and not all(isinstance(item, dict) for item in wanted):
        for item in merged:
            find(wanted, key, as_object(item).get(key))
    known = Index((item for item in wanted if not key or key in item), key)
    for item in merged:
        if key and key not in as_object(item):
            fail_key(item, key)
        (named if known.place(item) >= 0 else others).append(item)
    if objects:
        for item in (*named, *wanted, *others, *live):
            if key not in as_object(item):
                fail_key(item, key)
    by = key if objects else ""
    in_live = Index(live, by)
    named.sort(key=Index(wanted, by).place)
    others.sort(key=in_live.place)
    return _interleaved(others, named, in_live)


def _interleaved(left: list[Any], right: list[Any], live: Index) -> list[Any]:
    """Both lists in one, each in its order. An item of `left` goes before one of `right` if it does so in `live`."""
    out = []
    i = j = 0
    while i < len(left) and j < len(right):
        ours, theirs = live.place(left[i]), live.place(right[j])
        if 0 <= ours < theirs:
            out.append(left[i])
            i += 1
        else:
            out.append(right[j])
            j += 1
    return [*out, *left[i:], *right[j:]]


_ABSENT: Any = object()


class Index:
    """Where items stand in a list: by the value of `key`, or by their own value if it is empty.

    Lists may have tens of thousands of items, so they are not looked through for each.
    """

    __slots__ = ("_first", "_key", "_length", "_odd")

    def __init__(self, items: Iterable[Any], key: str) -> None:
        self._key = key
        self._length = 0
        self._first: dict[tuple[type, Any], int] = {}
        self._odd: list[tuple[Any, int]] = []  # values that are objects and lists themselves
        for item in items:
            self.add(item)

    def add(self, item: Any) -> None:
        """The list has one more item."""
        value = self._value(item)
        if isinstance(value, dict | list):
            self._odd.append((value, self._length))
        else:
            self._first.setdefault((value.__class__, value), self._length)
        self._length += 1

    def place(self, item: Any) -> int:
        """The index of the first that is like `item`, or -1."""
        value = self._value(item)
        if isinstance(value, dict | list):
            return next((index for other, index in self._odd if equal(other, value)), -1)
        return self._first.get((value.__class__, value), -1)

    def _value(self, item: Any) -> Any:
        if not self._key:
            return item
        return item.get(self._key, _ABSENT) if isinstance(item, dict) else None


def find(items: list[Any], key: str, value: Any) -> int | None:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            fail(f"value for key {index} is not a map")
        if key in item and equal(item[key], value):
            return index
    return None


def element_kind(*lists: list[Any]) -> type:
    """The one type that all elements have."""
    kinds = [element.__class__ for elements in lists for element in elements]
    if not kinds:
        fail("no elements in any of the given slices")
    if kinds[0] is list:
        text = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", text, details={})
    if any(kind is not kinds[0] for kind in kinds):
        fail(f"list element types are not identical: {golang.shown(list(lists))}")
    kind: type = kinds[0]
    return kind


def distinct(values: list[Any]) -> list[Any]:
    index = Index(values, "")
    return [value for place, value in enumerate(values) if index.place(value) == place]


def equal(left: Any, right: Any) -> bool:
    """Equality as Go's: true is not 1."""
    return left.__class__ is right.__class__ and bool(left == right)
