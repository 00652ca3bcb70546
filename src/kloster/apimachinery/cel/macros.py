"""Macros: calls that are rewritten while parsing, nearly all of them to a comprehension (a fold over a range)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import tree
from .tree import ACCUMULATOR, Call, Comprehension, Ident, ListNode, Literal, MapNode, Node

_OLD_ACCUMULATOR = "__result__"
_TRANSFORMS = ("transformList", "transformMap", "transformMapEntry")


_LOOP = re.compile(r"\.(?:all|exists|exists_one|existsOne|map|filter|transform\w+|sortBy|distinct|sort)\(|\bsets\.")


def loops_of(source: str) -> int:
    """How many loops an expression has, which may be nested: a bound of how its time grows with what it looks at."""
    return len(_LOOP.findall(source))


class Misused(Exception):
    """A macro was called in a form that it does not have."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Macros:
    """The macros that an environment has; those of later Kubernetes versions come with its libraries."""

    optionals: bool = True
    two_variables: bool = True
    sort_by: bool = True

    def expand(self, offset: int, function: str, target: Node | None, arguments: list[Node]) -> Node | None:
        """What a call is rewritten to; None if it is an ordinary call."""
        count = len(arguments)
        if target is None:
            return _has(arguments[0], offset) if function == "has" and count == 1 else None
        if function in ("all", "exists", "exists_one", "existsOne") and count in (2, 3):
            if (count == 3 and not self.two_variables) or (count == 2 and function == "existsOne"):
                return None
            return _quantifier(offset, function, target, arguments)
        if function == "map" and count in (2, 3):
            return _map(offset, target, arguments)
        if function == "filter" and count == 2:
            return _filter(offset, target, arguments)
        if function in _TRANSFORMS and count in (3, 4) and self.two_variables:
            return _transform(offset, function, target, arguments)
        if function in ("optMap", "optFlatMap") and count == 2 and self.optionals:
            return _optional(offset, function, target, arguments)
        if function == "sortBy" and count == 2 and self.sort_by:
            return _sort_by(offset, target, arguments)
        return None


def _has(argument: Node, offset: int) -> Node:
    if isinstance(argument, tree.Select):
        return tree.Select(offset, argument.operand, argument.field_name, test_only=True)
    raise Misused(argument.offset, "invalid argument to has() macro")


def _variable(node: Node, complaint: str) -> str:
    if not isinstance(node, Ident):
        raise Misused(node.offset, complaint)
    if node.name in (ACCUMULATOR, _OLD_ACCUMULATOR):
        raise Misused(node.offset, "iteration variable overwrites accumulator variable")
    return node.name


def _two_variables(arguments: list[Node]) -> tuple[str, str]:
    for each in arguments[:2]:
        if not isinstance(each, Ident):
            raise Misused(each.offset, "argument must be a simple name")
    first, second = arguments[0], arguments[1]
    assert isinstance(first, Ident)
    assert isinstance(second, Ident)
    if first.name == second.name:
        raise Misused(second.offset, f"duplicate variable name: {first.name}")
    return _variable(first, ""), _variable(second, "")


def _quantifier(offset: int, function: str, target: Node, arguments: list[Node]) -> Node:
    second: str | None = None
    if len(arguments) == 3:
        first, second = _two_variables(arguments)
    else:
        first = _variable(arguments[0], "argument must be a simple name")
    predicate = arguments[-1]

    def gathered() -> Node:
        return Ident(offset, ACCUMULATOR)

    initial: Node
    result: Node = gathered()
    if function == "all":
        initial = Literal(offset, True)
        condition: Node = Call(offset, "@not_strictly_false", None, [gathered()])
        step: Node = Call(offset, "_&&_", None, [gathered(), predicate])
    elif function == "exists":
        initial = Literal(offset, False)
        condition = Call(offset, "@not_strictly_false", None, [Call(offset, "!_", None, [gathered()])])
        step = Call(offset, "_||_", None, [gathered(), predicate])
    else:
        initial = Literal(offset, 0)
        condition = Literal(offset, True)
        more = Call(offset, "_+_", None, [gathered(), Literal(offset, 1)])
        step = Call(offset, "_?_:_", None, [predicate, more, gathered()])
        result = Call(offset, "_==_", None, [gathered(), Literal(offset, 1)])
    return Comprehension(offset, first, second, target, ACCUMULATOR, initial, condition, step, result)


def _gathering(offset: int, first: str, second: str | None, target: Node, step: Node, keep: Node | None) -> Node:
    """A fold that adds something to a list for each element that is kept."""
    return _fold(offset, first, second, target, ListNode(offset, []), step, keep)


def _fold(
    offset: int, first: str, second: str | None, target: Node, initial: Node, step: Node, keep: Node | None
) -> Node:
    if keep is not None:
        step = Call(offset, "_?_:_", None, [keep, step, Ident(offset, ACCUMULATOR)])
    result = Ident(offset, ACCUMULATOR)
    return Comprehension(offset, first, second, target, ACCUMULATOR, initial, Literal(offset, True), step, result)


def _appended(offset: int, what: Node) -> Node:
    return Call(offset, "_+_", None, [Ident(offset, ACCUMULATOR), ListNode(offset, [what])])


def _map(offset: int, target: Node, arguments: list[Node]) -> Node:
    variable = _variable(arguments[0], "argument is not an identifier")
    keep = arguments[1] if len(arguments) == 3 else None
    return _gathering(offset, variable, None, target, _appended(offset, arguments[-1]), keep)


def _filter(offset: int, target: Node, arguments: list[Node]) -> Node:
    variable = _variable(arguments[0], "argument is not an identifier")
    return _gathering(offset, variable, None, target, _appended(offset, arguments[0]), arguments[1])


def _transform(offset: int, function: str, target: Node, arguments: list[Node]) -> Node:
    first, second = _two_variables(arguments)
    keep = arguments[2] if len(arguments) == 4 else None
    made = arguments[-1]
    if function == "transformList":
        return _gathering(offset, first, second, target, _appended(offset, made), keep)
    inserted = [Ident(offset, ACCUMULATOR), *([Ident(offset, first)] if function == "transformMap" else []), made]
    step = Call(offset, "cel.@mapInsert", None, [*inserted])
    return _fold(offset, first, second, target, MapNode(offset, []), step, keep)


_SORTED = "@__sortBy_input__"


def _sort_by(offset: int, target: Node, arguments: list[Node]) -> Node:
    """`x.sortBy(e, k)`: x in the order of what k yields for its elements."""
    if isinstance(target, Literal | MapNode | tree.StructNode):
        what = "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
        raise Misused(target.offset, what)
    keys = _map(offset, Ident(offset, _SORTED), arguments)
    made = Call(offset, "@sortByAssociatedKeys", Ident(offset, _SORTED), [keys])
    return _bound(offset, _SORTED, target, made)


def _bound(offset: int, name: str, value: Node, result: Node) -> Node:
    """`result` with a name bound to a value: a fold over nothing."""
    nothing = ListNode(offset, [])
    return Comprehension(
        offset, "#unused", None, nothing, name, value, Literal(offset, False), Ident(offset, name), result
    )


def _optional(offset: int, function: str, target: Node, arguments: list[Node]) -> Node:
    """`x.optMap(v, e)`: e with v bound to what x holds, if it holds something."""
    if not isinstance(arguments[0], Ident):
        raise Misused(arguments[0].offset, f"{function}() variable name must be a simple identifier")
    bound = _bound(offset, arguments[0].name, Call(offset, "value", target, []), arguments[1])
    some: Node = bound if function == "optFlatMap" else Call(offset, "optional.of", None, [bound])
    return Call(
        offset, "_?_:_", None, [Call(offset, "hasValue", target, []), some, Call(offset, "optional.none", None, [])]
    )
