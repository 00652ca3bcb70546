"""Compiling an expression and running it: the way into this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import checker, literal_checks, parser, plan
from .frames import Frame
from .problems import CostExceeded, EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import tree
    from .declarations import Environment
    from .types import Type

#: What one evaluation may cost in Kubernetes.
PER_CALL = 1_000_000


class Checked:
    """An expression that has been parsed and checked: its tree, and the type of what it yields."""

    __slots__ = ("environment", "source", "tree", "type")

    def __init__(self, source: str, node: tree.Node, kind: Type, environment: Environment) -> None:
        self.source = source
        self.tree = node
        self.type = kind
        self.environment = environment


def compile_expression(source: str, environment: Environment) -> Checked:
    """Parse and check. Raises CompileError, whose text is what upstream prints."""
    node = parser.parse(source, environment.library.macros)
    kind = checker.check(source, node, environment)
    literal_checks.check(source, node, environment)
    return Checked(source, node, kind, environment)


class Program:
    """An expression ready to be evaluated, again and again. Its variables are those of its environment, in order."""

    __slots__ = ("_closure", "_room", "names")

    def __init__(self, checked: Checked) -> None:
        """Raises plan.ProgramError if a constant in it cannot be converted."""
        self.names = tuple(checked.environment.variables)
        planner = plan.Planner(checked.environment, {name: at for at, name in enumerate(self.names)})
        self._closure: Callable[[Frame], Any] = planner.plan(checked.tree)
        self._room = [None] * (planner.size - len(self.names))

    def evaluate(self, *values: Any, limit: int = PER_CALL) -> tuple[Any, int]:
        """What it yields and what that cost. Raises EvaluationError or CostExceeded, both through `Evaluated`."""
        frame = Frame([*values, *self._room], limit)
        return self.run(frame), frame.cost

    def frame(self, *values: Any, limit: int = PER_CALL) -> Frame:
        """A frame for `run`, for callers who want to know the cost of a failure, too."""
        return Frame([*values, *self._room], limit)

    def run(self, frame: Frame) -> Any:
        try:
            value = self._closure(frame)
        except RecursionError:
            raise CostExceeded from None
        except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError):
            # Values that are not of the types that the schema declares: null, a text that is no date.
            raise EvaluationError("no such overload") from None
        if frame.cost > frame.limit:
            raise CostExceeded
        return value
