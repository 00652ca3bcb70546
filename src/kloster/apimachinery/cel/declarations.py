"""What an expression may refer to: functions with their overloads, variables and object types."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .macros import Macros
    from .types import Structure, Type


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One form of a function. `cost`, where given, says what a call costs from its arguments and its result."""

    id: str
    arguments: tuple[Type, ...]
    result: Type
    member: bool
    call: Callable[..., Any]
    cost: Callable[[tuple[Any, ...], Any], int] | None = None
    generic: bool = False


@dataclass(slots=True, eq=False)
class Function:
    """A name with all its overloads, in the order in which they are tried."""

    name: str
    overloads: list[Overload] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """What one Kubernetes version, and all later ones, know of functions."""

    functions: Mapping[str, Function]
    macros: Macros
    types: Mapping[str, Type]
    checked_literals: bool = True
    mixed_numbers: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Environment:
    """A library together with the variables and object types that one kind of expression sees."""

    library: Library
    variables: Mapping[str, Type]
    structures: Mapping[str, Structure] = field(default_factory=dict)


_TOKEN = re.compile(r"[A-Za-z_.0-9]+|[(),]")


def parse_type(text: str) -> Type:
    """`list(A)`, `map(string, dyn)`, `kubernetes.Quantity`: a capital alone is a parameter."""
    found, rest = _type(_TOKEN.findall(text))
    assert not rest, text
    return found


_SIMPLE = {
    each.name: each
    for each in (
        *(types.DYN, types.NULL, types.BOOL, types.INT, types.UINT, types.DOUBLE, types.STRING, types.BYTES),
        *(types.TIMESTAMP, types.DURATION, types.TYPE),
    )
}
_STRUCTS = {"kubernetes.", "kubernetes.authorization."}


def _type(tokens: list[str]) -> tuple[Type, list[str]]:
    name, rest = tokens[0], tokens[1:]
    inner: list[Type] = []
    if rest and rest[0] == "(":
        rest = rest[1:]
        while rest[0] != ")":
            each, rest = _type(rest)
            inner.append(each)
            if rest[0] == ",":
                rest = rest[1:]
        rest = rest[1:]
    return _named(name, tuple(inner)), rest


def _named(name: str, inner: tuple[Type, ...]) -> Type:
    if name in ("list", "map", "type") and inner:
        return types.Type(name, name, inner)
    if name == "optional":
        return types.optional_of(inner[0])
    if name in _SIMPLE:
        return _SIMPLE[name]
    if len(name) == 1:
        return types.parameter(name)
    return types.struct(name) if name.startswith("kubernetes.") else types.opaque(name)


_SIGNATURE = re.compile(r"(?:(?P<target>.+?)::)?(?P<name>[^()]+)\((?P<arguments>.*)\) -> (?P<result>.+)")


class Collection:
    """Functions being declared. A signature reads `string::contains(string) -> bool`, `size(list(A)) -> int`."""

    def __init__(self, base: Mapping[str, Function] | None = None) -> None:
        self.functions = {name: Function(name, list(each.overloads)) for name, each in (base or {}).items()}

    def add(
        self,
        identifier: str,
        signature: str,
        call: Callable[..., Any],
        cost: Callable[[tuple[Any, ...], Any], int] | None = None,
    ) -> None:
        match = _SIGNATURE.fullmatch(signature)
        assert match, signature
        arguments = tuple(parse_type(each) for each in _split(match["arguments"]))
        target = match["target"]
        if target:
            arguments = (parse_type(target), *arguments)
        result = parse_type(match["result"])
        generic = any(_generic(each) for each in (*arguments, result))
        function = self.functions.setdefault(match["name"], Function(match["name"]))
        function.overloads.append(Overload(identifier, arguments, result, bool(target), call, cost, generic))


def _generic(each: Type) -> bool:
    return each.kind == "parameter" or any(_generic(inner) for inner in each.parameters)


def _split(text: str) -> Iterable[str]:
    depth, begun = 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield text[begun:at]
            begun = at + 1
    if text[begun:].strip():
        yield text[begun:]
