"""`'%s is %d'.format([a, b])`: the clauses, and what each accepts."""

from __future__ import annotations

import math
import re
from typing import Any

from kloster.apimachinery import golang
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.numbers import UInt
from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import Duration, Timestamp, printed_name, type_name

_CLAUSE = re.compile(r"(?:\.([0-9]*))?(.?)", re.DOTALL)
_DEFAULT_PRECISION = 6
_GREATEST_PRECISION = 1000


class Misformatted(Exception):
    """What is wrong with a format or with an argument for it."""


def formatted(text: str, arguments: list[Any]) -> str:
    try:
        return _formatted(text, arguments)
    except Misformatted as error:
        raise EvaluationError(str(error)) from None


def clauses(text: str, count: int) -> list[tuple[str, str]]:
    """Literal text and clause (with its precision) by turns. Raises Misformatted for the first that is wrong."""
    found: list[tuple[str, str]] = []
    at, literal, index = 0, "", 0
    while at < len(text):
        if text[at] != "%":
            literal += text[at]
            at += 1
            continue
        if text[at + 1 : at + 2] == "%":
            literal += "%"
            at += 2
            continue
        if index >= count:
            raise Misformatted(f"index {index} out of range")
        if at + 1 >= len(text):
            raise Misformatted("unexpected end of string")
        clause, at = _clause(text, at + 1)
        found.append((literal, clause))
        literal = ""
        index += 1
    found.append((literal, ""))
    return found


def _clause(text: str, at: int) -> tuple[str, int]:
    match = _CLAUSE.match(text, at)
    assert match
    precision, kind = match[1], match[2]
    prefix = "could not parse formatting clause: "
    if precision is not None:
        if not kind:
            raise Misformatted(f"{prefix}error while parsing precision: could not find end of precision specifier")
        if not precision:
            reason = 'error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax'
            raise Misformatted(f"{prefix}error while parsing precision: {reason}")
    if kind not in "sdfebxXo":
        raise Misformatted(f'{prefix}unrecognized formatting clause "{kind}"')
    return f"{precision or ''}{kind}", match.end()


def _formatted(text: str, arguments: list[Any]) -> str:
    parts: list[str] = []
    for index, (literal, clause) in enumerate(clauses(text, len(arguments))):
        parts.append(literal)
        if clause:
            precision = min(int(clause[:-1]), _GREATEST_PRECISION) if clause[:-1] else None
            try:
                parts.append(_one(clause[-1], precision, arguments[index]))
            except Misformatted as error:
                raise Misformatted(f"error during formatting: {error}") from None
    return "".join(parts)


_ACCEPTED: dict[str, tuple[set[str], str]] = {
    "d": ({"int", "uint"}, "decimal clause can only be used on integers, was given "),
    "f": ({"double", "string"}, "fixed-point clause can only be used on doubles, was given "),
    "e": ({"double", "string"}, "scientific clause can only be used on doubles, was given "),
    "b": ({"int", "uint", "bool"}, "only integers and bools can be formatted as binary, was given "),
    "x": (
        {"int", "uint", "string", "bytes"},
        "only integers, byte buffers, and strings can be formatted as hex, was given ",
    ),
    "o": ({"int", "uint"}, "octal clause can only be used on integers, was given "),
    "s": (
        {
            *("list", "map", "int", "uint", "double", "bool", "string", "timestamp", "bytes", "duration", "type"),
            *("null", "null_type", "google.protobuf.Timestamp", "google.protobuf.Duration"),
        },
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and "
        "timestamps, was given ",
    ),
}
_ACCEPTED["X"] = _ACCEPTED["x"]


def refusal(clause: str, kind: str) -> str | None:
    """Why a value of a type does not fit a clause; None if it does."""
    accepted, complaint = _ACCEPTED[clause]
    return None if kind in accepted else complaint + kind


def _one(kind: str, precision: int | None, value: Any) -> str:
    refused = refusal(kind, type_name(value))
    if refused:
        raise Misformatted(refused)
    match kind:
        case "s":
            return shown(value)
        case "d":
            return str(int(value))
        case "f" | "e":
            return _floating(kind, precision, value)
        case "b":
            return format(int(value), "b")
        case "o":
            return format(int(value), "o")
    return _hexadecimal(value, upper=kind == "X")


def _floating(kind: str, precision: int | None, value: Any) -> str:
    if isinstance(value, str):
        if value not in ("NaN", "Infinity", "-Infinity"):
            raise Misformatted(_ACCEPTED[kind][1] + "string")
        value = float(value)
    width = precision if kind == "e" and precision is not None else _DEFAULT_PRECISION if kind == "e" else 0
    return _decimal(kind, precision, value).rjust(width)


def _decimal(kind: str, precision: int | None, value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if kind == "f":
        return f"{value:,.{_DEFAULT_PRECISION if precision is None else precision}f}"
    # Upstream takes the precision of %e for a width: there are always six digits.
    mantissa, _, exponent = f"{value:.{_DEFAULT_PRECISION}e}".partition("e")
    return f"{mantissa}×10{_superscript(int(exponent))}"


def _superscript(exponent: int) -> str:
    digits = "⁰¹²³⁴⁵⁶⁷⁸⁹"
    raised = "".join(digits[int(each)] for each in f"{abs(exponent):02d}")
    return ("⁻" if exponent < 0 else "") + raised


def _hexadecimal(value: Any, *, upper: bool) -> str:
    if isinstance(value, str):
        text = value.encode().hex()
    elif isinstance(value, bytes):
        text = value.hex()
    else:
        text = format(int(value), "x")
    return text.upper() if upper else text


def shown(value: Any) -> str:
    """A value as `%s` prints it."""
    from .conversions import to_string  # noqa: PLC0415

    if value is None:
        return "null"
    if isinstance(value, types.Type):
        return printed_name(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_within, value)) + "]"
    if isinstance(value, dict):
        entries = sorted((_within(key), _within(inner)) for key, inner in value.items())
        return "{" + ", ".join(f"{key}:{inner}" for key, inner in entries) + "}"
    return to_string(value)


def _within(value: Any) -> str:
    if isinstance(value, str):
        return golang.quoted(value)
    if isinstance(value, bytes):
        return "b" + golang.quoted(value.decode("utf-8", "replace"))
    if isinstance(value, Timestamp):
        return f"timestamp({golang.quoted(shown(value))})"
    if isinstance(value, Duration):
        return f"duration({golang.quoted(shown(value))})"
    if isinstance(value, float) and not isinstance(value, UInt):
        return f"{value:.6f}" if math.isfinite(value) else golang.quoted(shown(value))
    if value is not None and type_name(value) not in _ACCEPTED["s"][0]:
        raise Misformatted(f"no formatting function for {type_name(value)}")
    return shown(value)
