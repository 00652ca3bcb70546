"""One expression of admission: compiled once, evaluated for each request within a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kloster.apimachinery.cel import plan, program, types
from kloster.apimachinery.cel.declarations import Environment
from kloster.apimachinery.cel.problems import CompileError, CostExceeded, EvaluationError
from kloster.apimachinery.cel.types import Type

#: What all expressions of a policy may cost for one request; and what match conditions may.
BUDGET = 10_000_000
CONDITIONS_BUDGET = 2_500_000
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


class OutOfBudget(Exception):
    """The budget is spent: nothing more is evaluated."""

    def __init__(self) -> None:
        super().__init__(_SPENT)


class Expression:
    """An expression. `error` says why it does not compile, as upstream tells it."""

    __slots__ = ("error", "program", "source", "type")

    def __init__(self, source: str, environment: Environment, returns: tuple[Type, ...] = ()) -> None:
        """`returns` are the types that it may yield; any if there are none."""
        self.source = source
        self.error = ""
        self.program: program.Program | None = None
        self.type: Type = types.DYN
        try:
            checked = program.compile_expression(source, environment)
        except CompileError as error:
            self.error = f"compilation failed: {error.text}"
            return
        self.type = checked.type
        if returns and checked.type not in returns:
            self.error = _mismatch(returns, checked.type)
            return
        try:
            self.program = program.Program(checked)
        except plan.ProgramError as error:
            self.error = f"program instantiation failed: {error}"


def _mismatch(wanted: tuple[Type, ...], given: Type) -> str:
    if len(wanted) == 1:
        return f"must evaluate to {_go_name(wanted[0])} but got {_go_name(given)}"
    return f"must evaluate to one of [{' '.join(map(_go_name, wanted))}] but got {_go_name(given)}"


def _go_name(kind: Type) -> str:
    names = {"null": "null_type", "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}
    name = names.get(kind.name, kind.name)
    inner = ", ".join(map(_go_name, kind.parameters))
    return f"{name}({inner})" if inner else name


@dataclass(slots=True)
class Bindings:
    """What one request's expressions see, by name, and what they may still cost."""

    values: Mapping[str, Any]
    left: int = BUDGET

    def evaluate(self, expression: Expression) -> tuple[Any, str]:
        """(what it yields, what went wrong). Raises OutOfBudget."""
        if expression.error or expression.program is None:
            return None, f"compilation error: {expression.error}"
        made = expression.program
        frame = made.frame(*(self.values.get(name) for name in made.names), limit=program.PER_CALL)
        value: Any = None
        problem = ""
        try:
            value = made.run(frame)
        except (EvaluationError, CostExceeded) as error:
            problem = f"expression '{expression.source}' resulted in error: {error}"
        if frame.cost > self.left:
            raise OutOfBudget
        self.left -= frame.cost
        return value, problem


class Variables(dict[str, Any]):
    """The variables of a policy, evaluated when they are first looked at; a failure is remembered, too."""

    __slots__ = ("_bindings", "_expressions", "_failures")

    def __init__(self, expressions: Mapping[str, Expression], bindings: Bindings) -> None:
        super().__init__()
        self._expressions = expressions
        self._bindings = bindings
        self._failures: dict[str, str] = {}

    def declares(self, name: str) -> bool:
        return name in self._expressions

    def __missing__(self, name: str) -> Any:
        if name in self._failures:
            raise EvaluationError(self._failures[name])
        expression = self._expressions.get(name)
        if expression is None:
            raise KeyError(name)
        problem = ""
        value: Any = None
        if expression.error:
            problem = f'composited variable "{name}" fails to compile: {expression.error}'
        else:
            value, failed = self._bindings.evaluate(expression)
            if failed:
                text = failed.partition("resulted in error: ")[2]
                problem = f'composited variable "{name}" fails to evaluate: {text}'
        if problem:
            self._failures[name] = problem
            raise EvaluationError(problem)
        self[name] = value
        return value
