"""Times of the API as seconds since the epoch."""

from __future__ import annotations

import calendar
import re
import time

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
).fullmatch


def parse(text: str | None) -> float | None:
    """Seconds since the epoch of an RFC 3339 time; None for an absent, zero or malformed one."""
    if not text:
        return None
    match = _RFC3339(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = match.groups()
    seconds: float = calendar.timegm((int(year), int(month), int(day), int(hour), int(minute), int(second)))
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds -= offset if sign == "+" else -offset
    if fraction:
        seconds += float(f"0.{fraction}")
    return None if seconds == _ZERO else seconds


_ZERO = calendar.timegm((1, 1, 1, 0, 0, 0))
"""Go's zero time, which the API treats as absent."""


def render(seconds: float) -> str:
    """metav1.Time: UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
