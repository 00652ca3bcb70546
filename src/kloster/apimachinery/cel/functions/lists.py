"""Lists and sets: Kubernetes' list functions, cel-go's lists (since 1.34) and sets, and what macros need of maps."""

from __future__ import annotations

from functools import cmp_to_key
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from kloster.apimachinery.cel.numbers import UInt
from kloster.apimachinery.cel.problems import CostExceeded, EvaluationError
from kloster.apimachinery.cel.values import Duration, compare, equal, size, type_of

from . import arithmetic, costs

if TYPE_CHECKING:
    from collections.abc import Callable

    from kloster.apimachinery.cel.declarations import Collection

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUMMABLE = {"int": 0, "uint": UInt(0), "double": 0.0, "duration": Duration(0)}
_LONGEST = 1_000_000
#: cel-go's names of types in the overloads of its own extension.
_LONG_NAMES = {"duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp"}


def _is_sorted(elements: list[Any]) -> bool:
    return all(compare(one, other) <= 0 for one, other in pairwise(elements))


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def extreme(elements: list[Any]) -> Any:
        if not elements:
            raise EvaluationError(f"{name} called on empty list")
        best = elements[0]
        for each in elements[1:]:
            if compare(best, each) == sign:
                best = each
        return best

    return extreme


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(elements: list[Any]) -> Any:
        if isinstance(zero, float):
            return sum(map(float, elements), 0.0)
        if isinstance(zero, Duration):
            reached = zero
            for each in elements:
                reached = arithmetic.span(reached.nanoseconds + each.nanoseconds)
            return reached
        return _sum_of_integers(zero, elements)

    return total


def _sum_of_integers(zero: int, elements: list[Any]) -> int:
    unsigned = isinstance(zero, UInt)
    reached = 0
    for each in elements:
        reached += int(each)
        if unsigned and reached >= 2**64:
            raise EvaluationError("unsigned integer overflow")
        if not unsigned and not -(2**63) <= reached < 2**63:
            raise EvaluationError("integer overflow")
    return UInt(reached) if unsigned else reached


def _index_of(elements: list[Any], sought: Any) -> int:
    return next((at for at, each in enumerate(elements) if equal(each, sought)), -1)


def _last_index_of(elements: list[Any], sought: Any) -> int:
    return next((at for at in range(len(elements) - 1, -1, -1) if equal(elements[at], sought)), -1)


def declare(into: Collection) -> None:
    """Kubernetes' own, which every version has."""
    for kind in _COMPARABLE:
        into.add(f"list_{kind}_is_sorted_bool", f"list({kind})::isSorted() -> bool", _is_sorted, costs.first_traversal)
    for kind, zero in _SUMMABLE.items():
        into.add(f"list_{kind}_sum_{kind}", f"list({kind})::sum() -> {kind}", _sum(zero), costs.first_traversal)
    for name, sign in (("max", -1), ("min", 1)):
        for kind in _COMPARABLE:
            signature = f"list({kind})::{name}() -> {kind}"
            into.add(f"list_{kind}_{name}_{kind}", signature, _extreme(name, sign), costs.first_traversal)
    into.add("list_a_index_of_int", "list(A)::indexOf(A) -> int", _index_of, costs.first_traversal)
    into.add("list_a_last_index_of_int", "list(A)::lastIndexOf(A) -> int", _last_index_of, costs.first_traversal)


# -- sets ------------------------------------------------------------------------------------------------------------


def _contains_all(elements: list[Any], others: list[Any]) -> bool:
    _affordable(len(elements) * len(others))
    return _contains(elements, others)


def _contains(elements: list[Any], others: list[Any]) -> bool:
    return all(arithmetic.contained(each, elements) for each in others)


def _intersects(elements: list[Any], others: list[Any]) -> bool:
    _affordable(len(elements) * len(others))
    return any(arithmetic.contained(each, others) for each in elements)


def _equivalent(elements: list[Any], others: list[Any]) -> bool:
    _affordable(len(elements) * len(others))
    return _contains(elements, others) and _contains(others, elements)


def declare_sets(into: Collection) -> None:
    def priced(factor: int) -> Callable[[costs.Arguments, Any], int]:
        return lambda arguments, _: 1 + size(arguments[0]) * size(arguments[1]) * factor

    into.add("list_sets_contains_list", "sets.contains(list(T), list(T)) -> bool", _contains_all, priced(1))
    into.add("list_sets_equivalent_list", "sets.equivalent(list(T), list(T)) -> bool", _equivalent, priced(2))
    into.add("list_sets_intersects_list", "sets.intersects(list(T), list(T)) -> bool", _intersects, priced(1))


# -- maps that macros build ------------------------------------------------------------------------------------------


def _insert(into: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    # The map belongs to the macro: nobody else sees it before it is complete.
    if key in into:
        raise EvaluationError(f"insert failed: key {arithmetic.shown(key)} already exists")
    into[key] = value
    return into


def _insert_all(into: dict[Any, Any], entries: dict[Any, Any]) -> dict[Any, Any]:
    for key, value in entries.items():
        _insert(into, key, value)
    return into


def declare_insertion(into: Collection) -> None:
    """What the two-variable comprehensions expand to."""
    key_value = "cel.@mapInsert(map(K, V), K, V) -> map(K, V)"
    into.add("@mapInsert_map_key_value", key_value, _insert)
    into.add("@mapInsert_map_map", "cel.@mapInsert(map(K, V), map(K, V)) -> map(K, V)", _insert_all)


# -- cel-go's list extension -------------------------------------------------------------------------------------------


def _slice(elements: list[Any], start: int, end: int) -> list[Any]:
    head = f"cannot slice({start}, {end})"
    if start < 0 or end < 0:
        raise EvaluationError(f"{head}, negative indexes not supported")
    if start > end:
        raise EvaluationError(f"{head}, start index must be less than or equal to end index")
    if len(elements) < end:
        raise EvaluationError(f"{head}, list is length {len(elements)}")
    return elements[start:end]


def _flatten(elements: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: list[Any] = []
    for each in elements:
        if isinstance(each, list) and depth > 0:
            flat.extend(_flatten(each, depth - 1))
        else:
            flat.append(each)
        if len(flat) > _LONGEST:
            raise CostExceeded
    return flat


def _sort(elements: list[Any]) -> list[Any]:
    return _sort_by(elements, elements)


def _sort_by(elements: list[Any], keys: list[Any]) -> list[Any]:
    _affordable(len(keys) ** 2)
    if not elements:
        return elements
    if len({type_of(key) for key in keys}) > 1:
        raise EvaluationError("list elements must have the same type")

    def ordered(one: int, other: int) -> int:
        return compare(keys[one], keys[other])

    order = sorted(range(len(keys)), key=cmp_to_key(ordered))
    return [elements[at] for at in order]


def _range(count: int) -> list[int]:
    if count > _LONGEST:
        raise CostExceeded
    return list(range(count))


def _affordable(cost: int) -> None:
    """What would cost more than one evaluation may is not begun."""
    if cost > _LONGEST:
        raise CostExceeded


def _distinct(elements: list[Any]) -> list[Any]:
    _affordable(len(elements) ** 2)
    kept: list[Any] = []
    for each in elements:
        if not any(equal(each, known) for known in kept):
            kept.append(each)
    return kept


def _of_result(_: costs.Arguments, result: Any) -> int:
    return costs.sized_list(len(result))


def _flattening(arguments: costs.Arguments, _: Any) -> int:
    depth = arguments[1] if len(arguments) == 2 else 1
    return costs.sized_list(len(arguments[0]), float(depth))


def _comparing(at: int) -> Callable[[costs.Arguments, Any], int]:
    def cost(arguments: costs.Arguments, _: Any) -> int:
        elements = arguments[at]
        factor = 2.1 if elements and isinstance(elements[0], str | bytes) else 2.0
        return costs.sized_list(len(elements) ** 2, factor)

    return cost


def declare_extension(into: Collection) -> None:
    into.add("list_slice", "list(T)::slice(int, int) -> list(T)", _slice, _of_result)
    into.add("list_flatten", "list(list(T))::flatten() -> list(T)", _flatten, _flattening)
    into.add("list_flatten_int", "list(dyn)::flatten(int) -> list(dyn)", _flatten, _flattening)
    for kind in ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"):
        name = _LONG_NAMES.get(kind, kind)
        into.add(f"list_{name}_sort", f"list({kind})::sort() -> list({kind})", _sort, _comparing(0))
    for kind in ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"):
        name = _LONG_NAMES.get(kind, kind)
        signature = f"list(T)::@sortByAssociatedKeys(list({kind})) -> list(T)"
        into.add(f"list_{name}_sortByAssociatedKeys", signature, _sort_by, _comparing(1))
    into.add("lists_range", "lists.range(int) -> list(int)", _range, _of_result)
    into.add("list_reverse", "list(T)::reverse() -> list(T)", lambda elements: elements[::-1], _of_result)
    into.add("list_distinct", "list(T)::distinct() -> list(T)", _distinct, _comparing(0))
