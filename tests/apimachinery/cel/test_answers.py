"""Nineteen hundred expressions (those of the specification's conformance tests that fit, of upstream's own tests, and
ours) against what cel-go with Kubernetes' libraries of 1.34 answered: findings, estimates, values, errors and costs."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kloster.apimachinery.cel import declarations, estimate, plan, program, ranges, types, values, versions
from kloster.apimachinery.cel.functions import conversions, times
from kloster.apimachinery.cel.numbers import UInt
from kloster.apimachinery.cel.problems import CompileError, CostExceeded, EvaluationError

_WORLD, *_ANSWERS = [json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text().splitlines()]
_TYPES = {name: declarations.parse_type(text) for name, text in _WORLD["types"].items()}
_PART = 100


def _value(name: str) -> Any:
    given, kind = _WORLD["vars"].get(name), _WORLD["types"][name]
    return UInt(given) if kind == "uint" else float(given) if kind == "double" else given


def _size(path: ranges.Path) -> ranges.Range | None:
    most = _WORLD["sizes"].get(".".join(path))
    return None if most is None else ranges.Range(0, most)


def _go_double(value: float) -> str:
    """%v of Go, which turns to exponents earlier than CEL does."""
    shown = conversions.show_double(value)
    if not math.isfinite(value) or abs(value) < 1e6 or "e" in shown:
        return shown
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    fraction = f".{text[1:]}" if text[1:] else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e+{len(digits) + int(exponent) - 1:02d}"


def _shown(value: Any) -> Any:
    match value:
        case bool() | str():
            return value
        case UInt():
            return f"uint {int(value)}"
        case int():
            return f"int {value}"
        case float():
            return f"double {_go_double(value)}"
        case bytes():
            return f"bytes {value.hex()}"
        case None:
            return "null"
        case values.Duration():
            return f"duration {value.nanoseconds}"
        case values.Timestamp():
            return f"timestamp {times.show_instant(value)}"
        case values.Optional():
            return ["optional", _shown(value.value)] if value.present else ["optional"]
        case list():
            return ["list", *map(_shown, value)]
        case dict():
            return {str(_shown(key)): _shown(inner) for key, inner in value.items()}
        case types.Type():
            return f"type {values.printed_name(value)}"
    return values.type_of(value).name


def _ours(question: dict[str, Any]) -> dict[str, Any]:
    known = _TYPES if question.get("world") else {}
    environment = declarations.Environment(versions.library(34), known)
    try:
        checked = program.compile_expression(question["expr"], environment)
    except CompileError as error:
        return {"error": error.text}
    answer: dict[str, Any] = dict(zip(("min", "max"), estimate.cost(checked.tree, _size), strict=True))
    try:
        made = program.Program(checked)
    except plan.ProgramError as error:
        return {**answer, "eval_error": f"PROGRAM {error}"}
    frame = made.frame(*map(_value, made.names))
    try:
        answer["value"] = _shown(made.run(frame))
    except (EvaluationError, CostExceeded) as error:
        return {**answer, "eval_error": str(error)}
    return {**answer, "cost": frame.cost}


@pytest.mark.parametrize("begun", range(0, len(_ANSWERS), _PART))
def test_what_upstream_answered(begun: int) -> None:
    wrong = []
    for question in _ANSWERS[begun : begun + _PART]:
        ours = _ours(question)
        for key in ("error", "min", "max", "value", "eval_error", "cost"):
            if question.get(key) != ours.get(key) and not (key == "cost" and "cost" not in question):
                wrong.append((question["expr"], key, question.get(key), ours.get(key)))
    assert wrong == []
