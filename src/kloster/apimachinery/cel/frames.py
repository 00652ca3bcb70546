"""The state of one evaluation: its variables, what it has cost, and what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from .problems import CostExceeded, EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import tree

    Closure = Callable[["Frame"], Any]


class Frame:
    """Variables by slot; those of comprehensions follow the declared ones."""

    __slots__ = ("cost", "limit", "values")

    def __init__(self, values: list[Any], limit: int) -> None:
        self.values = values
        self.cost = 0
        self.limit = limit

    def exceeded(self) -> NoReturn:
        raise CostExceeded


class Failed:
    """An accumulator whose last step failed: whoever reads it fails, unless the other side of a junctor decides."""

    __slots__ = ("error",)

    def __init__(self, error: EvaluationError) -> None:
        self.error = error


class Planning(Protocol):
    """What loops ask of the planner."""

    def plan(self, node: tree.Node) -> Closure: ...

    def scoped(self, name: str) -> tuple[int, int | None]: ...

    def unscope(self, name: str, hidden: int | None) -> None: ...
