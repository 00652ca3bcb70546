"""Conversions between types, and what `type()` and `dyn()` do."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kloster.apimachinery.cel.numbers import GREATEST, GREATEST_UNSIGNED, LEAST, UInt
from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import Duration, Timestamp, type_of

from . import costs, times
from .arithmetic import BILLION

if TYPE_CHECKING:
    from kloster.apimachinery.cel.declarations import Collection

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOATING = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)",
    re.ASCII | re.IGNORECASE,
)
_EXPONENT_FROM = 21
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def _unconvertible(kind: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from 'string' to '{kind}'")


def _same(value: Any) -> Any:
    return value


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        return _parsed(value, "int", LEAST, GREATEST, _INTEGER)
    if isinstance(value, float):
        if math.isnan(value) or not -(2.0**63) < value < 2.0**63:
            raise EvaluationError("integer overflow")
        return int(value)
    if isinstance(value, Timestamp):
        return value.nanoseconds // BILLION
    if isinstance(value, Duration):
        return value.nanoseconds
    if value > GREATEST:
        raise EvaluationError("integer overflow")
    return int(value)


def _to_uint(value: Any) -> UInt:
    if isinstance(value, str):
        return UInt(_parsed(value, "uint", 0, GREATEST_UNSIGNED, re.compile(r"[0-9]+", re.ASCII)))
    if isinstance(value, float):
        if math.isnan(value) or not 0 <= value < 2.0**64:
            raise EvaluationError("unsigned integer overflow")
        return UInt(int(value))
    if value < 0:
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)


def _parsed(text: str, kind: str, least: int, greatest: int, pattern: re.Pattern[str]) -> int:
    if pattern.fullmatch(text) is None:
        raise _unconvertible(kind)
    digits = text.lstrip("+-").lstrip("0")
    value = int(digits or "0") if len(digits) <= 20 else greatest + 1
    value = -value if text.startswith("-") else value
    if not least <= value <= greatest:
        raise _unconvertible(kind)
    return value


def _to_double(value: Any) -> float:
    if isinstance(value, str):
        if _FLOATING.fullmatch(value) is None:
            raise _unconvertible("double")
        found = float(value)
        if math.isinf(found) and "inf" not in value.lower():
            raise _unconvertible("double")
        return found
    return float(value)


def _to_bool(value: Any) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _unconvertible("bool")


def show_double(value: float) -> str:
    """Go's %g: the shortest decimal, with an exponent below 1e-4 and from 1e21."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0") or "0"
    assert isinstance(exponent, int)
    point = len(digits) + exponent
    prefix = "-" if sign else ""
    if point - 1 < -4 or point - 1 >= _EXPONENT_FROM:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        power = point - 1
        return f"{prefix}{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if point <= 0:
        return f"{prefix}0.{'0' * -point}{text}"
    if len(text) <= point:
        return prefix + text + "0" * (point - len(text))
    return f"{prefix}{text[:point]}.{text[point:]}"


def to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return show_double(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
    return times.show_instant(value) if isinstance(value, Timestamp) else times.show_span(value)


def declare(into: Collection) -> None:
    into.add("type", "type(A) -> type(A)", type_of)
    into.add("to_dyn", "dyn(A) -> dyn", _same)
    into.add("bool_to_bool", "bool(bool) -> bool", _same)
    into.add("string_to_bool", "bool(string) -> bool", _to_bool)
    into.add("bytes_to_bytes", "bytes(bytes) -> bytes", _same)
    into.add("string_to_bytes", "bytes(string) -> bytes", lambda value: value.encode(), costs.first)
    into.add("double_to_double", "double(double) -> double", _same)
    for kind in ("int64", "string", "uint64"):
        into.add(f"{kind}_to_double", f"double({kind.removesuffix('64')}) -> double", _to_double)
    into.add("duration_to_duration", "duration(duration) -> duration", _same)
    into.add("int64_to_duration", "duration(int) -> duration", times.to_duration)
    into.add("string_to_duration", "duration(string) -> duration", times.to_duration)
    into.add("int64_to_int64", "int(int) -> int", _same)
    for kind in ("double", "duration", "string", "timestamp", "uint64"):
        into.add(f"{kind}_to_int64", f"int({kind.removesuffix('64')}) -> int", _to_int)
    into.add("string_to_string", "string(string) -> string", _same)
    for kind in ("bool", "bytes", "double", "duration", "int64", "timestamp", "uint64"):
        cost = costs.first if kind == "bytes" else None
        into.add(f"{kind}_to_string", f"string({kind.removesuffix('64')}) -> string", to_string, cost)
    into.add("timestamp_to_timestamp", "timestamp(timestamp) -> timestamp", _same)
    into.add("int64_to_timestamp", "timestamp(int) -> timestamp", times.to_timestamp)
    into.add("string_to_timestamp", "timestamp(string) -> timestamp", times.to_timestamp)
    into.add("uint64_to_uint64", "uint(uint) -> uint", _same)
    for kind in ("double", "int64", "string"):
        into.add(f"{kind}_to_uint64", f"uint({kind.removesuffix('64')}) -> uint", _to_uint)
