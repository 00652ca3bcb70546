"""Operators: arithmetic within 64 bits, comparisons, membership, indexing, size."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from kloster.apimachinery.cel.numbers import GREATEST, GREATEST_UNSIGNED, LEAST, UInt
from kloster.apimachinery.cel.problems import CostExceeded, EvaluationError
from kloster.apimachinery.cel.values import Duration, MapListValue, SetValue, Timestamp, compare, equal, type_name

from . import costs

if TYPE_CHECKING:
    from collections.abc import Callable

    from kloster.apimachinery.cel.declarations import Collection

#: The first and the last second that a timestamp can be.
FIRST_SECOND, LAST_SECOND = -62135596800, 253402300799
BILLION = 1_000_000_000
#: Joining lists costs one, however long they are: this bounds what a few joins of joins can make.
_LONGEST_LIST = 1_000_000


def _integer(value: int) -> int:
    if LEAST <= value <= GREATEST:
        return value
    raise EvaluationError("integer overflow")


def _unsigned(value: int) -> UInt:
    if 0 <= value <= GREATEST_UNSIGNED:
        return UInt(value)
    raise EvaluationError("unsigned integer overflow")


def span(nanoseconds: int) -> Duration:
    if LEAST <= nanoseconds <= GREATEST:
        return Duration(nanoseconds)
    raise EvaluationError("integer overflow")


def instant(nanoseconds: int) -> Timestamp:
    if FIRST_SECOND <= nanoseconds // BILLION <= LAST_SECOND:
        return Timestamp(nanoseconds)
    raise EvaluationError("timestamp overflow")


def _product(left: Any, right: Any) -> Any:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        raise EvaluationError("no such overload")  # Python would repeat a text
    return left * right


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("division by zero")
    whole = abs(left) // abs(right)
    return _integer(whole if (left < 0) == (right < 0) else -whole)


def _modulo(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("modulus by zero")
    if left == LEAST and right == -1:
        raise EvaluationError("integer overflow")
    return int(math.fmod(left, right)) if abs(left) < 2**53 and abs(right) < 2**53 else _exact_modulo(left, right)


def _exact_modulo(left: int, right: int) -> int:
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _divide_unsigned(left: int, right: int) -> UInt:
    if right == 0:
        raise EvaluationError("division by zero")
    return UInt(left // right)


def _modulo_unsigned(left: int, right: int) -> UInt:
    if right == 0:
        raise EvaluationError("modulus by zero")
    return UInt(left % right)


def _divide_doubles(left: float, right: float) -> float:
    if right == 0:
        if left == 0 or left != left:
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return left / right


def _add_lists(left: Any, right: Any) -> Any:
    if len(left) + len(right) > _LONGEST_LIST:
        raise CostExceeded
    if isinstance(left, SetValue):
        return left.union(right)
    if isinstance(left, MapListValue):
        return _merged(left, right)
    return [*left, *right]


def _merged(left: MapListValue, right: Any) -> MapListValue:
    """Elements of the right take the places of those on the left with the same keys."""
    merged = list(left)
    places = {left.key_of(element): at for at, element in enumerate(left)}
    for element in right:
        key = left.key_of(element)
        if key in places:
            merged[places[key]] = element
        else:
            places[key] = len(merged)
            merged.append(element)
    return MapListValue(merged, left.keys)


def contained(value: Any, container: Any) -> bool:
    if isinstance(container, dict):
        try:
            return value in container
        except TypeError:
            return False
    return any(equal(value, each) for each in container)


def index(container: Any, key: Any) -> Any:
    """What an index or a field yields. Raises EvaluationError in upstream's words."""
    if isinstance(container, dict):
        return _entry(container, key)
    if isinstance(container, list | tuple):
        return _element(container, key)
    raise EvaluationError(f"no such key: {shown(key)}")


def _entry(container: dict[Any, Any], key: Any) -> Any:
    if isinstance(key, float) and not isinstance(key, bool) and key.is_integer():
        key = int(key)
    try:
        return container[key]
    except KeyError:
        pass
    except TypeError:
        raise EvaluationError("no such overload") from None
    names = getattr(container, "names", None)
    if names is not None and names.get(key) in container:
        return container[names[key]]
    raise EvaluationError(f"no such key: {shown(key)}")


def _element(container: Any, key: Any) -> Any:
    if isinstance(key, bool) or not isinstance(key, int | float):
        raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
    if key != int(key):
        raise EvaluationError(f"unsupported index value {shown(key)} in list")
    at = int(key)
    if 0 <= at < len(container):
        return container[at]
    raise EvaluationError(f"index out of bounds: {shown(key)}")


def shown(key: Any) -> str:
    """A key as Go prints it."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, UInt):
        return str(int(key))
    if key is None:
        return "null"
    return str(key)


_COMPARED = {
    "less": ("_<_", lambda order: order < 0),
    "less_equals": ("_<=_", lambda order: order <= 0),
    "greater": ("_>_", lambda order: order > 0),
    "greater_equals": ("_>=_", lambda order: order >= 0),
}
_NATIVE: dict[str, Callable[[Any, Any], bool]] = {
    "less": operator.lt,
    "less_equals": operator.le,
    "greater": operator.gt,
    "greater_equals": operator.ge,
}


def declare(into: Collection) -> None:
    _declare_sums(into)
    _declare_products(into)
    _declare_comparisons(into)
    into.add("logical_not", "!_(bool) -> bool", operator.not_)
    into.add("not_strictly_false", "@not_strictly_false(bool) -> bool", lambda value: value is not False)
    into.add("logical_and", "_&&_(bool, bool) -> bool", _never)
    into.add("logical_or", "_||_(bool, bool) -> bool", _never)
    into.add("conditional", "_?_:_(bool, A, A) -> A", _never)
    into.add("equals", "_==_(A, A) -> bool", equal, costs.shorter)
    into.add("not_equals", "_!=_(A, A) -> bool", lambda left, right: not equal(left, right), costs.shorter)
    into.add("index_list", "_[_](list(A), int) -> A", index)
    into.add("index_map", "_[_](map(A, B), A) -> B", index)
    into.add("in_list", "@in(A, list(A)) -> bool", contained, costs.second_size)
    into.add("in_map", "@in(A, map(A, B)) -> bool", contained)
    for kind, signature in (("bytes", "bytes"), ("list", "list(A)"), ("map", "map(A, B)"), ("string", "string")):
        into.add(f"size_{kind}", f"size({signature}) -> int", len)
        into.add(f"{kind}_size", f"{signature}::size() -> int", len)


def _never(*_: Any) -> Any:
    raise AssertionError("the planner evaluates these itself")


def _declare_sums(into: Collection) -> None:
    into.add("add_bytes", "_+_(bytes, bytes) -> bytes", operator.add, costs.both)
    into.add("add_double", "_+_(double, double) -> double", operator.add)
    into.add("add_duration_duration", "_+_(duration, duration) -> duration", _add_spans)
    into.add("add_duration_timestamp", "_+_(duration, timestamp) -> timestamp", _add_instant)
    into.add("add_timestamp_duration", "_+_(timestamp, duration) -> timestamp", _add_instant)
    into.add("add_int64", "_+_(int, int) -> int", lambda a, b: _integer(a + b))
    into.add("add_list", "_+_(list(A), list(A)) -> list(A)", _add_lists)
    into.add("add_string", "_+_(string, string) -> string", operator.add, costs.both)
    into.add("add_uint64", "_+_(uint, uint) -> uint", lambda a, b: _unsigned(int(a) + int(b)))
    into.add("subtract_double", "_-_(double, double) -> double", operator.sub)
    into.add("subtract_duration_duration", "_-_(duration, duration) -> duration", _subtract_spans)
    into.add("subtract_int64", "_-_(int, int) -> int", lambda a, b: _integer(a - b))
    into.add("subtract_timestamp_duration", "_-_(timestamp, duration) -> timestamp", _subtract_span)
    into.add("subtract_timestamp_timestamp", "_-_(timestamp, timestamp) -> duration", _subtract_spans)
    into.add("subtract_uint64", "_-_(uint, uint) -> uint", lambda a, b: _unsigned(int(a) - int(b)))
    into.add("negate_double", "-_(double) -> double", operator.neg)
    into.add("negate_int64", "-_(int) -> int", lambda value: _integer(-value))


def _add_spans(left: Any, right: Any) -> Duration:
    return span(left.nanoseconds + right.nanoseconds)


def _add_instant(left: Any, right: Any) -> Timestamp:
    return instant(left.nanoseconds + right.nanoseconds)


def _subtract_span(left: Any, right: Any) -> Timestamp:
    return instant(left.nanoseconds - right.nanoseconds)


def _subtract_spans(left: Any, right: Any) -> Duration:
    return span(left.nanoseconds - right.nanoseconds)


def _declare_products(into: Collection) -> None:
    into.add("divide_double", "_/_(double, double) -> double", _divide_doubles)
    into.add("divide_int64", "_/_(int, int) -> int", _divide)
    into.add("divide_uint64", "_/_(uint, uint) -> uint", _divide_unsigned)
    into.add("modulo_int64", "_%_(int, int) -> int", _modulo)
    into.add("modulo_uint64", "_%_(uint, uint) -> uint", _modulo_unsigned)
    into.add("multiply_double", "_*_(double, double) -> double", _product)
    into.add("multiply_int64", "_*_(int, int) -> int", lambda a, b: _integer(_product(a, b)))
    into.add("multiply_uint64", "_*_(uint, uint) -> uint", lambda a, b: _unsigned(_product(int(a), int(b))))


def _declare_comparisons(into: Collection) -> None:
    pairs = [("bool", "bool"), ("int64", "int"), ("int64_double", "int, double"), ("int64_uint64", "int, uint")]
    pairs += [("uint64", "uint"), ("uint64_double", "uint, double"), ("uint64_int64", "uint, int")]
    pairs += [("double", "double"), ("double_int64", "double, int"), ("double_uint64", "double, uint")]
    pairs += [("string", "string"), ("bytes", "bytes"), ("timestamp", "timestamp"), ("duration", "duration")]
    for name, (function, judged) in _COMPARED.items():
        for suffix, arguments in pairs:
            both = arguments if "," in arguments else f"{arguments}, {arguments}"
            cost = costs.shorter if suffix in ("string", "bytes") else None
            call = _comparison(judged) if "double" in suffix else _NATIVE[name]
            into.add(f"{name}_{suffix}", f"{function}({both}) -> bool", call, cost)


def _comparison(judged: Callable[[int], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: judged(compare(left, right))
