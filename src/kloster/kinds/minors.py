"""Strategies that differ from minor to minor in what CEL they compile, for `CHANGED` of a kind's module."""

from __future__ import annotations

from collections.abc import Callable

from kloster.kinds.strategy import Strategy

OLDEST, NEWEST = 31, 37


def each(of: Callable[[int], Strategy]) -> dict[str, Strategy]:
    """What `of` makes for the minor, for every minor."""
    return {f"1.{minor}": of(minor) for minor in range(OLDEST, NEWEST + 1)}
