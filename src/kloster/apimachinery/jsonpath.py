"""JSONPath as kubectl and CustomResourceDefinitions use it: one expression that picks values out of a JSON value.

``.spec.replicas``, ``.metadata.annotations['example\\.com/a']``, ``.items[0]``, ``[1:3]``, ``[-1:]``, ``[*]``,
``.*``, ``..name``, ``['a','b']`` and filters ``[?(@.type=="Ready")]``. Missing keys pick nothing.

Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import orjson

MOST_WORK = 10_000
"""Values that one evaluation may look at. Paths come from strangers, and ``..a..a..a`` on nested objects would look at
billions; what is not found within this is not found."""

LONGEST = 4096
"""Characters of a path."""


class _Exhausted(Exception):
    """An evaluation has looked at more than it may."""


class _Work:
    """What an evaluation may still do."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise _Exhausted


Step = Callable[[Sequence[Any], _Work], Sequence[Any]]


class JSONPathError(ValueError):
    """The text is no path."""


class JSONPath:
    """A parsed path. `find` gives the values in document order."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str, steps: Sequence[Step]) -> None:
        self.text = text
        self._steps = steps

    def find(self, value: Any) -> Sequence[Any]:
        """The values; none if finding them would take more than `MOST_WORK`."""
        try:
            return self.walk(value, _Work())
        except _Exhausted:
            return ()

    def walk(self, value: Any, work: _Work) -> Sequence[Any]:
        """The same as a part of a larger evaluation. Raises _Exhausted."""
        found: Sequence[Any] = (value,)
        for step in self._steps:
            found = step(found, work)
            work.spend(1 + len(found))
            if not found:
                break
        return found


@lru_cache(maxsize=4096)
def parse(text: str) -> JSONPath:
    """Parse the inside of ``{…}``. Raises JSONPathError."""
    if len(text) > LONGEST:
        raise JSONPathError(f"a path has at most {LONGEST} characters")
    return JSONPath(text, list(_Parser(text).steps()))


def shown(value: Any) -> str:
    """A value as it is printed: text bare, objects and lists as JSON, numbers as Go prints them."""
    if value.__class__ is str:
        return str(value)
    if value is None:
        return "<nil>"
    if value is True or value is False:
        return "true" if value else "false"
    if value.__class__ is float:
        return _go_float(value)
    if value.__class__ is int:
        return str(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _go_float(value: float) -> str:
    """Go's %v: the shortest form, with an exponent from 1e21 on and below 1e-4."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    mantissa = mantissa.removesuffix(".0")
    sign = "-" if exponent.startswith("-") else "+"
    return f"{mantissa}e{sign}{exponent.lstrip('+-').zfill(2)}"


# --- steps --------------------------------------------------------------------------------------------------------


def _field(name: str) -> Step:
    def step(values: Sequence[Any], _: _Work) -> list[Any]:
        return [value[name] for value in values if value.__class__ is dict and value.get(name) is not None]

    return step


def _members(values: Sequence[Any], work: _Work) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value.__class__ is dict or value.__class__ is list:
            work.spend(len(value))
        if value.__class__ is dict:
            found.extend(value[key] for key in sorted(value))
        elif value.__class__ is list:
            found.extend(value)
    return found


def _slice(start: int | None, stop: int | None, stride: int) -> Step:
    def step(values: Sequence[Any], work: _Work) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if value.__class__ is list:
                chosen = value[start:stop:stride]
                work.spend(len(chosen))
                found.extend(chosen)
        return found

    return step


def _index(index: int) -> Step:
    def step(values: Sequence[Any], _: _Work) -> list[Any]:
        return [value[index] for value in values if value.__class__ is list and -len(value) <= index < len(value)]

    return step


def _recursive(name: str) -> Step:
    def inside(value: Any, work: _Work) -> Iterator[Any]:
        if value.__class__ is dict:
            work.spend(1 + len(value))
            if name in value:
                yield value[name]
            for key in sorted(value):
                yield from inside(value[key], work)
        elif value.__class__ is list:
            work.spend(1 + len(value))
            for item in value:
                yield from inside(item, work)

    def step(values: Sequence[Any], work: _Work) -> list[Any]:
        return [item for value in values for item in inside(value, work)]

    return step


def _union(branches: Sequence[Step]) -> Step:
    def step(values: Sequence[Any], work: _Work) -> list[Any]:
        work.spend(len(values) * len(branches))
        return [item for value in values for branch in branches for item in branch((value,), work)]

    return step


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    ">": lambda left, right: bool(left > right),
    "<=": lambda left, right: bool(left <= right),
    ">=": lambda left, right: bool(left >= right),
}


def _filter(left: JSONPath, operator: str, right: Any) -> Step:
    def matches(item: Any, work: _Work) -> bool:
        found = left.walk(item, work)
        if not operator:
            return bool(found)
        if len(found) != 1:
            return False
        wanted = right
        if isinstance(right, JSONPath):
            others = right.walk(item, work)
            if len(others) != 1:
                return False
            wanted = others[0]
        try:
            return _COMPARE[operator](found[0], wanted)
        except TypeError:
            return False

    def step(values: Sequence[Any], work: _Work) -> list[Any]:
        return [item for value in values if value.__class__ is list for item in value if matches(item, work)]

    return step


# --- parsing ------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"(?:\\.|[^\s\\.\[\]{}()'\",?@$=!<>*|&])+")
_SLICE = re.compile(r"\s*(-?\d+)?\s*(:)?\s*(-?\d+)?\s*(?::\s*(-?\d+)?)?\s*")
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*")
_LITERAL = re.compile(r"-?\d+(?:\.\d+)?|true|false")
_ESCAPE = re.compile(r"\\(.)")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def steps(self) -> Iterator[Step]:
        """All steps; the text must end with them."""
        if self._peek() in "$@":
            self.at += 1
        elif self._peek() not in ".[":
            raise JSONPathError(f"unrecognized character in path {self.text!r}")
        yield from self._path()
        if self.at < len(self.text):
            raise JSONPathError(f"unexpected {self.text[self.at :]!r} in path {self.text!r}")

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1] or "\0"

    def _path(self) -> Iterator[Step]:
        while True:
            char = self._peek()
            if char == ".":
                self.at += 1
                yield from self._dot()
            elif char == "[":
                yield self._bracket()
            else:
                return

    def _dot(self) -> Iterator[Step]:
        char = self._peek()
        if char == ".":
            self.at += 1
            if self._peek() == "*":
                raise JSONPathError(f"unsupported wildcard in path {self.text!r}")
            yield _recursive(self._name())
        elif char == "*":
            self.at += 1
            yield _members
        elif char not in "[\0" or (char == "[" and self.at > 1):
            yield _field(self._name())

    def _name(self) -> str:
        found = _NAME.match(self.text, self.at)
        if found is None:
            raise JSONPathError(f"a name is missing at {self.at} in path {self.text!r}")
        self.at = found.end()
        return _ESCAPE.sub(r"\1", found[0])

    def _bracket(self) -> Step:
        self.at += 1
        if self.text.startswith("?(", self.at):
            return self._filter()
        branches = [self._branch()]
        while self._peek() == ",":
            self.at += 1
            branches.append(self._branch())
        self._expect("]")
        return branches[0] if len(branches) == 1 else _union(branches)

    def _branch(self) -> Step:
        while self._peek() == " ":
            self.at += 1
        char = self._peek()
        if char in "'\"":
            name = self._quoted()
            return _field(_ESCAPE.sub(r"\1", name))
        if char == "*":
            self.at += 1
            return _members
        found = _SLICE.match(self.text, self.at)
        if found is None or not found[0].strip():
            raise JSONPathError(f"invalid array index in path {self.text!r}")
        self.at = found.end()
        if found[2] is None:
            if found[3] is not None or found[4] is not None or found[1] is None:
                raise JSONPathError(f"invalid array index in path {self.text!r}")
            return _index(int(found[1]))
        numbers = [None if part is None else int(part) for part in (found[1], found[3], found[4])]
        stride = 1 if numbers[2] is None else numbers[2]
        if stride <= 0:
            raise JSONPathError("step must be > 0")
        return _slice(numbers[0], numbers[1], stride)

    def _quoted(self) -> str:
        quote = self._peek()
        end = self.at + 1
        while end < len(self.text) and self.text[end] != quote:
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise JSONPathError("unterminated quoted string")
        text = self.text[self.at + 1 : end]
        self.at = end + 1
        return text

    def _filter(self) -> Step:
        self.at += 2
        left = self._operand()
        if not isinstance(left, JSONPath):
            raise JSONPathError(f"a filter must begin with a path: {self.text!r}")
        operator, right = "", None
        found = _OPERATOR.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            operator, right = found[1], self._operand()
        while self._peek() == " ":
            self.at += 1
        self._expect(")")
        self._expect("]")
        return _filter(left, operator, right)

    def _operand(self) -> Any:
        while self._peek() == " ":
            self.at += 1
        char = self._peek()
        if char in "'\"":
            return _ESCAPE.sub(r"\1", self._quoted())
        if char in "@$":
            start = self.at
            self.at += 1
            steps = list(self._path())
            return JSONPath(self.text[start : self.at], steps)
        found = _LITERAL.match(self.text, self.at)
        if found is None:
            raise JSONPathError(f"unrecognized filter in path {self.text!r}")
        self.at = found.end()
        return orjson.loads(found[0])

    def _expect(self, char: str) -> None:
        if self._peek() != char:
            raise JSONPathError(f"{char!r} is missing at {self.at} in path {self.text!r}")
        self.at += 1
