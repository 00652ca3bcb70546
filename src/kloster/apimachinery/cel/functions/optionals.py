"""Optional values. Selections and indexes with `?`, and `or` and `orValue`, are evaluated by the planner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import NONE, Optional, is_zero

if TYPE_CHECKING:
    from kloster.apimachinery.cel.declarations import Collection


def value_of(optional: Optional) -> Any:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value


def _non_zero(value: Any) -> Optional:
    return NONE if is_zero(value) else Optional(True, value)


def _unwrapped(optionals: list[Optional]) -> list[Any]:
    return [each.value for each in optionals if each.present]


def _end(at: int) -> Any:
    return lambda elements: Optional(True, elements[at]) if elements else NONE


def _planned(*_: Any) -> Any:
    raise AssertionError("the planner evaluates these itself")


def declare(into: Collection) -> None:
    into.add("optional_of", "optional.of(V) -> optional(V)", lambda value: Optional(True, value))
    into.add("optional_ofNonZeroValue", "optional.ofNonZeroValue(V) -> optional(V)", _non_zero)
    into.add("optional_none", "optional.none() -> optional(V)", lambda: NONE)
    into.add("optional_value", "optional(V)::value() -> V", value_of)
    into.add("optional_hasValue", "optional(V)::hasValue() -> bool", lambda optional: optional.present)
    into.add("optional_or_optional", "optional(V)::or(optional(V)) -> optional(V)", _planned)
    into.add("optional_orValue_value", "optional(V)::orValue(V) -> V", _planned)
    into.add("select_optional_field", "_?._(dyn, string) -> optional(V)", _planned)
    into.add("list_optindex_optional_int", "_[?_](list(V), int) -> optional(V)", _planned)
    into.add("optional_list_optindex_optional_int", "_[?_](optional(list(V)), int) -> optional(V)", _planned)
    into.add("map_optindex_optional_value", "_[?_](map(K, V), K) -> optional(V)", _planned)
    into.add("optional_map_optindex_optional_value", "_[?_](optional(map(K, V)), K) -> optional(V)", _planned)
    into.add("optional_list_index_int", "_[_](optional(list(V)), int) -> optional(V)", _planned)
    into.add("optional_map_index_value", "_[_](optional(map(K, V)), K) -> optional(V)", _planned)
    into.add("list_last", "list(V)::last() -> optional(V)", _end(-1))
    into.add("list_first", "list(V)::first() -> optional(V)", _end(0))
    into.add("optional_unwrap", "optional.unwrap(list(optional(V))) -> list(V)", _unwrapped)
    into.add("optional_unwrapOpt", "list(optional(V))::unwrapOpt() -> list(V)", _unwrapped)
