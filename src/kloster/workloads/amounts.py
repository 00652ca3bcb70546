"""Numbers that may be percentages (IntOrString), and the fenceposts of a rolling update."""

from __future__ import annotations

import math


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """`value` of `total`: a number as it is, ``25%`` rounded up or down."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    if value.endswith("%"):
        part = int(value[:-1]) * total / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value)


def fenceposts(surge: int | str | None, unavailable: int | str | None, desired: int) -> tuple[int, int]:
    """How many pods more and how many fewer than `desired` a rollout may have. Never both zero: it could not move."""
    more, fewer = scaled(surge, desired, up=True), scaled(unavailable, desired, up=False)
    return (more, fewer) if more or fewer else (0, 1)
