"""Lists of a strategic merge patch: finding items by key or value, putting lists in order, and what can be wrong.

Items are compared as Go compares them: true is not 1. Mistakes are answered as upstream answers them, mostly by 500.
"""

from __future__ import annotations

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
    for item in merged:
        if key:
            if key not in as_object(item):
                fail_key(item, key)
            known = find(wanted, key, item[key]) is not None
        else:
            known = contains(wanted, item)
        (named if known else others).append(item)
    if objects:
        for item in (*named, *wanted, *others, *live):
            if key not in as_object(item):
                fail_key(item, key)
    named.sort(key=lambda item: _position(wanted, item, key, objects))
    others.sort(key=lambda item: _position(live, item, key, objects))
    return _interleaved(others, named, live, key, objects)


def _interleaved(left: list[Any], right: list[Any], live: list[Any], key: str, objects: bool) -> list[Any]:
    """Both lists in one, each in its order. An item of `left` goes before one of `right` if it does so in `live`."""
    out = []
    i = j = 0
    while i < len(left) and j < len(right):
        ours, theirs = _position(live, left[i], key, objects), _position(live, right[j], key, objects)
        if 0 <= ours < theirs:
            out.append(left[i])
            i += 1
        else:
            out.append(right[j])
            j += 1
    return [*out, *left[i:], *right[j:]]


def _position(items: list[Any], item: Any, key: str, objects: bool) -> int:
    """The index of an item, by key or by value, or -1."""
    for index, other in enumerate(items):
        if objects:
            if equal(item.get(key), other.get(key) if isinstance(other, dict) else None):
                return index
        elif equal(item, other):
            return index
    return -1


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
    out: list[Any] = []
    for value in values:
        if not contains(out, value):
            out.append(value)
    return out


def contains(values: list[Any], value: Any) -> bool:
    return any(equal(other, value) for other in values)


def equal(left: Any, right: Any) -> bool:
    """Equality as Go's: true is not 1."""
    return left.__class__ is right.__class__ and bool(left == right)
