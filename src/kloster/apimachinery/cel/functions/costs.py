"""How much calls cost at run time: mostly a share of the length of what they look at."""

from __future__ import annotations

from math import ceil
from typing import Any

from kloster.apimachinery.cel.values import size

#: Looking at every character of a text, per character.
TRAVERSAL = 0.1
#: Applying a regular expression, per character of it and unit of text.
REGEX = 0.25

Arguments = tuple[Any, ...]


def share(length: float, factor: float = TRAVERSAL) -> int:
    return ceil(length * factor)


def first(arguments: Arguments, _: Any) -> int:
    return share(size(arguments[0]))


def first_twice(arguments: Arguments, _: Any) -> int:
    return share(size(arguments[0]) * 2)


def result_twice(_: Arguments, result: Any) -> int:
    return share(size(result) * 2)


def both(arguments: Arguments, _: Any) -> int:
    left, right = arguments
    return ceil((len(left) + len(right)) * TRAVERSAL)


def shorter(arguments: Arguments, _: Any) -> int:
    left, right = arguments
    mine, theirs = size(left), size(right)
    return ceil((mine if mine < theirs else theirs) * TRAVERSAL)


def regex(arguments: Arguments, _: Any) -> int:
    return share(1.0 + size(arguments[0])) * share(size(arguments[1]), REGEX)


def product(arguments: Arguments, _: Any) -> int:
    return share(size(arguments[0])) * share(size(arguments[1]))


def second_size(arguments: Arguments, _: Any) -> int:
    return size(arguments[1])


def traversal(value: Any) -> int:
    """A whole value looked at."""
    if isinstance(value, str):
        return int(len(value.encode("utf-8", "surrogatepass")) * TRAVERSAL)
    if isinstance(value, bytes):
        return int(len(value) * TRAVERSAL)
    if isinstance(value, list | tuple):
        return sum(map(traversal, value))
    if isinstance(value, dict):
        return sum(traversal(key) + traversal(inner) for key, inner in value.items())
    return 1


def first_traversal(arguments: Arguments, _: Any) -> int:
    return traversal(arguments[0])


def sized_list(length: float, factor: float = 1.0) -> int:
    """A call that makes a list."""
    return int(length * factor) + 1 + 10
