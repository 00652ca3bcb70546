"""Strangers write expressions: none may recurse, grow or run without end."""

from __future__ import annotations

import time

import pytest

from kloster.apimachinery.cel import declarations, program, types, versions
from kloster.apimachinery.cel.problems import CompileError, CostExceeded, EvaluationError

_ENVIRONMENT = declarations.Environment(versions.library(34), {"x": types.DYN})


def _run(expression: str, value: object = None, limit: int = program.PER_CALL) -> object:
    made = program.Program(program.compile_expression(expression, _ENVIRONMENT))
    return made.run(made.frame(value, limit=limit))


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("(" * 300 + "1" + ")" * 300, id="parentheses"),
        pytest.param("1" + "+1" * 300, id="sums"),
        pytest.param("x" + ".a" * 300, id="fields"),
        pytest.param("[" * 300 + "]" * 300, id="lists"),
        pytest.param("size(" * 240 + "x" + ")" * 240, id="calls"),
        pytest.param("x ? 1 : " * 300 + "2", id="conditionals"),
    ],
)
def test_depth_is_bounded(expression: str) -> None:
    try:
        _run(expression, 1)
    except CompileError as error:
        assert "recursion limit exceeded" in error.text
    except EvaluationError:
        pass


def test_length_is_bounded() -> None:
    with pytest.raises(CompileError, match="expression code point size exceeds limit: size: 100001, limit 100000"):
        _run("1" * 100_001)


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("x.all(a, x.all(b, x.all(c, a + b + c >= 0)))", id="nested loops"),
        pytest.param("x.map(a, x.map(b, x.map(c, a + b + c))).size() > 0", id="nested lists"),
        pytest.param("lists.range(100000000).size() > 0", id="range"),
        pytest.param("x.map(a, x).flatten().distinct().size() > 0", id="distinct"),
        pytest.param(
            "[x].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)"
            ".map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)[0].size() > 0",
            id="doubling",
        ),
    ],
)
def test_cost_is_bounded(expression: str) -> None:
    begun = time.process_time()
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        _run(expression, list(range(500)))
    assert time.process_time() - begun < 5


def test_patterns_are_linear() -> None:
    begun = time.process_time()
    assert _run("x.matches('(a+)+$')", "a" * 5000 + "b") is False
    assert time.process_time() - begun < 1
