"""Deep copies of JSON values."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def clone(value: T) -> T:
    """A copy that shares no object or list with `value`. Several times as fast as copy.deepcopy."""
    if isinstance(value, dict):
        return {key: clone(inner) for key, inner in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [clone(inner) for inner in value]  # type: ignore[return-value]
    return value
