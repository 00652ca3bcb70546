"""The syntax of a CronJob's schedule, with the complaints of the library that upstream parses it with.

Five fields (minute, hour, day of month, month, day of week), or ``@hourly``, ``@every 1h30m`` and the like.
Source: https://pkg.go.dev/github.com/robfig/cron/v3
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, field

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_DURATION = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DIGITS = re.compile(r"[+-]?[0-9]+").fullmatch


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)


_MONTHS = dict(zip("jan feb mar apr may jun jul aug sep oct nov dec".split(), range(1, 13), strict=True))  # noqa: SIM905
_DAYS = dict(zip("sun mon tue wed thu fri sat".split(), range(7), strict=True))  # noqa: SIM905
_FIELDS = (_Bounds(0, 59), _Bounds(0, 23), _Bounds(1, 31), _Bounds(1, 12, _MONTHS), _Bounds(0, 6, _DAYS))


class _Wrong(Exception):
    """A complaint."""


def problem(text: str) -> str:
    """What is wrong with a schedule; empty if it is right."""
    try:
        _check(text)
    except _Wrong as wrong:
        return str(wrong)
    return ""


def is_zone(name: str) -> bool:
    """Whether there is such a time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check(text: str) -> None:
    if text.startswith(("TZ=", "CRON_TZ=")):
        zone, _, text = text.partition(" ")
        zone = zone.partition("=")[2]
        if zone not in ("", "Local") and not is_zone(zone):
            raise _Wrong(f"provided bad location {zone}: unknown time zone {zone}")
        text = text.strip()
    if text.startswith("@"):
        _check_descriptor(text)
        return
    fields = text.split()
    if len(fields) != len(_FIELDS):
        listed = " ".join(fields)
        raise _Wrong(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{listed}]")
    for value, bounds in zip(fields, _FIELDS, strict=True):
        for part in filter(None, value.split(",")):
            _check_range(part, bounds)


def _check_descriptor(text: str) -> None:
    if text in _DESCRIPTORS:
        return
    if not text.startswith("@every "):
        raise _Wrong(f"unrecognized descriptor: {text}")
    duration = text.removeprefix("@every ")
    if complaint := _duration_problem(duration):
        raise _Wrong(f"failed to parse duration {text}: {complaint}")


def _duration_problem(text: str) -> str:
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return ""
    if not rest:
        return f'time: invalid duration "{text}"'
    position = 0
    while position < len(rest):
        match = _DURATION.match(rest, position)
        if match is None:
            number = re.match(r"[0-9]*\.?[0-9]*", rest[position:])
            assert number is not None
            if not number[0].strip("."):
                return f'time: invalid duration "{text}"'
            unit = re.match(r"[^0-9.]*", rest[position + number.end() :])
            assert unit is not None
            if not unit[0]:
                return f'time: missing unit in duration "{text}"'
            return f'time: unknown unit "{unit[0]}" in duration "{text}"'
        position = match.end()
    return ""


def _check_range(text: str, bounds: _Bounds) -> None:
    parts = text.split("/")
    ends = parts[0].split("-")
    low, high = _ends(ends, text, bounds)
    step = 1
    if len(parts) > 2:
        raise _Wrong(f"too many slashes: {text}")
    if len(parts) == 2:
        step = _number(parts[1])
        if len(ends) == 1:
            high = bounds.high
    for complaint in _range_problems(low, high, step, bounds):
        raise _Wrong(f"{complaint}: {text}")


def _ends(ends: list[str], text: str, bounds: _Bounds) -> tuple[int, int]:
    if ends[0] in ("*", "?"):
        return bounds.low, bounds.high
    low = _number_or_name(ends[0], bounds)
    if len(ends) > 2:
        raise _Wrong(f"too many hyphens: {text}")
    return low, low if len(ends) == 1 else _number_or_name(ends[1], bounds)


def _range_problems(low: int, high: int, step: int, bounds: _Bounds) -> Iterator[str]:
    if low < bounds.low:
        yield f"beginning of range ({low}) below minimum ({bounds.low})"
    if high > bounds.high:
        yield f"end of range ({high}) above maximum ({bounds.high})"
    if low > high:
        yield f"beginning of range ({low}) beyond end of range ({high})"
    if step == 0:
        yield "step of range should be a positive number"


def _number_or_name(text: str, bounds: _Bounds) -> int:
    named = bounds.names.get(text.lower())
    return _number(text) if named is None else named


def _number(text: str) -> int:
    if not _DIGITS(text):
        raise _Wrong(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    value = int(text)
    if value < 0:
        raise _Wrong(f"negative number ({value}) not allowed: {text}")
    return value
