"""Sets of completion indexes as text: ``1,3-5,7``, in increasing order."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?[0-9]+").fullmatch


def count(text: str, completions: int) -> int:
    """How many indexes are listed. Raises ValueError with upstream's words."""
    last: int | None = None
    total = 0
    for part in text.split(",") if text else ():
        low, high = interval(part, completions)
        if last is not None and last >= low:
            raise ValueError(f"non-increasing order, previous: {last}, current: {low}")
        total += high - low + 1
        last = high
    return total


def interval(part: str, completions: int) -> tuple[int, int]:
    """The ends of ``3-5`` or ``3``."""
    limits = part.split("-")
    if len(limits) > 2:
        raise ValueError(
            f'the fragment "{part}" violates the requirement that an index interval can have at most two parts '
            "separated by '-'"
        )
    low = _index(limits[0], completions)
    if len(limits) == 1:
        return low, low
    high = _index(limits[1], completions)
    if low >= high:
        raise ValueError(f"non-increasing order, previous: {low}, current: {high}")
    return low, high


def _index(text: str, completions: int) -> int:
    if not _NUMBER(text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    value = int(text)
    if value >= completions:
        raise ValueError(f'too large index: "{text}"')
    return value


def overlap(first: str, second: str, completions: int) -> int | None:
    """The smallest index that both list; None if there is none. Malformed parts are skipped."""
    pairs = []
    for text in (first, second):
        listed = []
        for part in text.split(",") if text else ():
            try:
                listed.append(interval(part, completions))
            except ValueError:
                continue
        pairs.append(listed)
    common = [max(a, c) for a, b in pairs[0] for c, d in pairs[1] if a <= d and c <= b]
    return min(common, default=None)
