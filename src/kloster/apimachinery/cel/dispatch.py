"""Which implementation a call runs: fixed where the checker knows the types, else chosen by the values at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .problems import EvaluationError
from .values import type_name, type_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import tree
    from .declarations import Environment, Overload
    from .types import Type

    Cost = Callable[[tuple[Any, ...], Any], int]

#: Implemented once for whatever has the operation, so that errors name no types.
_OPERATORS = {
    *("size", "_+_", "_-_", "_*_", "_/_", "_%_", "_<_", "_<=_", "_>_", "_>=_", "_[_]", "-_", "!_", "@in"),
}


_COMPARISONS = {"_<_", "_<=_", "_>_", "_>=_"}
_COMPARABLE = {"bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"}
_NUMBERS = {"int", "uint", "double"}
#: Which types have an operation at all: for others the error names it.
_BEARERS = {
    "size": {"string", "bytes", "list", "map"},
    "_+_": {*_NUMBERS, "string", "bytes", "list", "timestamp", "duration"},
    "_-_": {*_NUMBERS, "timestamp", "duration"},
    "_*_": _NUMBERS,
    "_/_": _NUMBERS,
    "_%_": {"int", "uint"},
    "-_": {*_NUMBERS, "bool", "duration"},
}


def resolve(environment: Environment, node: tree.Call) -> tuple[Callable[..., Any], Cost | None]:
    """The implementation of a checked call and its cost (None: one)."""
    function = environment.library.functions[node.function]
    overloads = [each for each in function.overloads if each.id in node.overloads]
    operands = ([node.target] if node.target is not None else []) + node.arguments
    static = all(each.type is not None and _known(each.type) for each in operands)
    if len(overloads) == 1 and (static or _unguarded(overloads[0])):
        return overloads[0].call, overloads[0].cost
    member = node.target is not None
    count = len(operands)
    candidates = [each for each in function.overloads if each.member == member and len(each.arguments) == count]
    if len(overloads) == 1:
        return _chosen(function.name, candidates), overloads[0].cost
    return _chosen(function.name, candidates), _cost_of(candidates)


def _known(each: Type) -> bool:
    return each.kind not in ("dyn", "parameter", "error")


def _unguarded(overload: Overload) -> bool:
    return all(argument.kind in ("parameter", "dyn") for argument in overload.arguments)


def _chosen(name: str, candidates: list[Overload]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        for each in candidates:
            if all(map(_accepts, each.arguments, arguments)):
                return each.call(*arguments)
        if name in _OPERATORS:
            kinds = _BEARERS.get(name, _COMPARABLE if name in _COMPARISONS else None)
            suffix = f": {name}" if kinds is not None and type_of(arguments[0]).kind not in kinds else ""
            raise EvaluationError(f"no such overload{suffix}")
        shown = ", ".join(map(type_name, arguments))
        raise EvaluationError(f"no such overload: {name}({shown})")

    return call


def _cost_of(candidates: list[Overload]) -> Cost | None:
    """cel-go prices by overload: a call whose overload is not known before evaluation costs one."""
    named = {each.cost for each in candidates}
    return None if len(named) != 1 else named.pop()


def _accepts(wanted: Type, value: Any) -> bool:
    if wanted.kind in ("parameter", "dyn"):
        return True
    given = type_of(value)
    if wanted.kind in ("list", "map"):
        return given.kind == wanted.kind
    return given.kind == wanted.kind and (wanted.kind not in ("opaque", "struct") or given.name == wanted.name)
