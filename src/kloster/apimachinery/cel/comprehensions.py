"""Folds over lists and maps. Those that macros make have loops of their own; each costs what the general one would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import tree
from .frames import Failed
from .problems import EvaluationError
from .tree import ACCUMULATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .frames import Closure, Frame, Planning


def plan(planner: Planning, node: tree.Comprehension) -> Closure:
    ranged = planner.plan(node.range)
    initial = planner.plan(node.initial)
    accumulator, hidden_accumulator = planner.scoped(node.accumulator)
    first, hidden_first = planner.scoped(node.variable)
    second, hidden_second = planner.scoped(node.second) if node.second else (-1, None)
    shape = _shape(node)
    gathered = _gathered(node) if shape is None else None
    if gathered is not None:
        keep = planner.plan(gathered[0]) if gathered[0] is not None else None
        price = 2 if isinstance(gathered[1], tree.Literal) else 12
        made = _gathering(ranged, keep, planner.plan(gathered[1]), (accumulator, first, second), price)
    elif shape is not None:
        decisive, predicate, price = shape
        inner = planner.plan(predicate)
        made = _quantifier(ranged, inner, (accumulator, first, second), decisive, price)
    else:
        condition = planner.plan(node.condition)
        step = planner.plan(node.step)
        made = _loop(ranged, initial, condition, step, (accumulator, first, second))
    if node.second:
        planner.unscope(node.second, hidden_second)
    planner.unscope(node.variable, hidden_first)
    if shape is None and gathered is None:
        result = planner.plan(node.result)
        made = _resulting(made, result)
    planner.unscope(node.accumulator, hidden_accumulator)
    return made


def _shape(node: tree.Comprehension) -> tuple[bool, tree.Node, int] | None:
    """(what decides, the predicate, the cost of a turn) of `all` and `exists`."""
    step = node.step
    if node.accumulator != ACCUMULATOR or not isinstance(step, tree.Call) or not isinstance(node.initial, tree.Literal):
        return None
    if step.function == "_&&_" and node.initial.value is True and _gathers(step.arguments[0]):
        return False, step.arguments[1], 3
    if step.function == "_||_" and node.initial.value is False and _gathers(step.arguments[0]):
        return True, step.arguments[1], 4
    return None


def _gathered(node: tree.Comprehension) -> tuple[tree.Node | None, tree.Node] | None:
    """(what is kept, None for everything; what is made of it) of `map`, `filter` and `transformList`."""
    step = node.step
    if node.accumulator != ACCUMULATOR or not isinstance(node.initial, tree.ListNode) or node.initial.elements:
        return None
    keep: tree.Node | None = None
    if isinstance(step, tree.Call) and step.function == "_?_:_":
        keep, step = step.arguments[0], step.arguments[1]
    if not isinstance(step, tree.Call) or step.function != "_+_" or not _gathers(step.arguments[0]):
        return None
    added = step.arguments[1]
    if not isinstance(added, tree.ListNode) or len(added.elements) != 1 or not _gathers(node.result):
        return None
    return keep, added.elements[0]


def _gathers(node: tree.Node) -> bool:
    return isinstance(node, tree.Ident) and node.name == ACCUMULATOR


def _entries(ranged: Any) -> Iterator[tuple[Any, Any]]:
    """What the two variables hold by turns. One variable takes a list's elements or a map's keys."""
    if isinstance(ranged, dict):
        yield from ranged.items()
    elif isinstance(ranged, list | tuple):
        yield from enumerate(ranged)
    else:
        raise EvaluationError(f"got '{type(ranged).__name__}', expected iterable type")


def _quantifier(
    ranged: Closure, predicate: Closure, slots: tuple[int, int, int], decisive: bool, price: int
) -> Closure:
    _, first, second = slots

    def quantify(frame: Frame) -> bool:
        container = ranged(frame)
        values = frame.values
        failure: EvaluationError | None = None
        single = second < 0 and isinstance(container, list | tuple)
        decided = False
        for key, value in _entries(container):
            if decided:
                frame.cost += price - 1
                break
            values[first] = value if single else key
            if second >= 0:
                values[second] = value
            frame.cost += price
            try:
                verdict = predicate(frame)
            except EvaluationError as error:
                failure = failure or error
            else:
                if verdict is decisive:
                    decided = True
                elif verdict is not (not decisive):
                    failure = failure or EvaluationError("no such overload")
            if frame.cost > frame.limit:
                frame.exceeded()
        frame.cost += 1
        if decided:
            return decisive
        if failure is not None:
            raise failure
        return not decisive

    return quantify


def _gathering(
    ranged: Closure, keep: Closure | None, made: Closure, slots: tuple[int, int, int], price: int
) -> Closure:
    """A list that grows in place: the general loop would copy it at every turn."""
    _, first, second = slots

    def gather(frame: Frame) -> list[Any]:
        container = ranged(frame)
        values = frame.values
        found: list[Any] = []
        single = second < 0 and isinstance(container, list | tuple)
        for key, value in _entries(container):
            values[first] = value if single else key
            if second >= 0:
                values[second] = value
            verdict = True if keep is None else keep(frame)
            if verdict is True:
                frame.cost += price
                found.append(made(frame))
            elif verdict is not False:
                raise EvaluationError("no such overload")
            if frame.cost > frame.limit:
                frame.exceeded()
        frame.cost += 1
        return found

    return gather


def _loop(ranged: Closure, initial: Closure, condition: Closure, step: Closure, slots: tuple[int, int, int]) -> Closure:
    accumulator, first, second = slots

    def loop(frame: Frame) -> None:
        container = ranged(frame)
        values = frame.values
        try:
            gathered = initial(frame)
        except EvaluationError as error:
            gathered = Failed(error)
        # Steps may build on what they are given: it belongs to this loop alone.
        gathered = dict(gathered) if isinstance(gathered, dict) and not gathered else gathered
        values[accumulator] = gathered
        single = second < 0 and isinstance(container, list | tuple)
        for key, value in _entries(container):
            values[first] = value if single else key
            if second >= 0:
                values[second] = value
            if condition(frame) is False:
                break
            try:
                values[accumulator] = step(frame)
            except EvaluationError as error:
                values[accumulator] = Failed(error)
            if frame.cost > frame.limit:
                frame.exceeded()

    return loop


def _resulting(loop: Closure, result: Closure) -> Closure:
    def fold(frame: Frame) -> Any:
        loop(frame)
        return result(frame)

    return fold
