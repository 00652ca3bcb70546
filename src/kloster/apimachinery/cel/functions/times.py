"""Timestamps and durations: their texts, their parts, and time zones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import Duration, Timestamp

from .arithmetic import BILLION, FIRST_SECOND, LAST_SECOND, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from kloster.apimachinery.cel.declarations import Collection

_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": BILLION,
    "m": 60 * BILLION,
    "h": 3600 * BILLION,
}
_SPAN = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str) -> Timestamp | None:
    """RFC 3339 with nanoseconds; None if it is none."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if match[8]:
        hours, minutes = int(match[9]), int(match[10])
        if hours > 24 or minutes > 60:
            return None
        seconds -= (1 if match[8] == "+" else -1) * (hours * 3600 + minutes * 60)
    fraction = int(((match[7] or "") + "000000000")[:9])
    return Timestamp(seconds * BILLION + fraction)


def parse_span(text: str) -> Duration | None:
    """Go's notation, `1h30m`; None if it is none or too long."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return Duration(0)
    if not rest or len(rest) > 200:
        return None
    total = 0
    while rest:
        match = _SPAN.match(rest)
        if match is None or not (match[1] or match[2]):
            return None
        unit = _UNITS[match[3]]
        fraction = (match[2] or "")[:18]
        total += int(match[1] or "0") * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        rest = rest[match.end() :]
    total = -total if text.startswith("-") else total
    return Duration(total) if -(2**63) <= total < 2**63 else None


def show_instant(value: Timestamp) -> str:
    seconds, fraction = divmod(value.nanoseconds, BILLION)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def show_span(value: Duration) -> str:
    """Seconds as the shortest decimal that reads back the same."""
    seconds = value.nanoseconds / BILLION
    text = format(seconds, "f") if seconds == int(seconds) else repr(seconds)
    if "e" in text:
        text = f"{seconds:.9f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}s"


def to_timestamp(value: Any) -> Timestamp:
    if isinstance(value, int):
        if not FIRST_SECOND <= value <= LAST_SECOND:
            raise EvaluationError("timestamp overflow")
        return Timestamp(value * BILLION)
    found = parse_instant(value)
    if found is None:
        raise EvaluationError("type conversion error from 'string' to 'google.protobuf.Timestamp'")
    if not FIRST_SECOND <= found.nanoseconds // BILLION <= LAST_SECOND:
        raise EvaluationError("timestamp overflow")
    return found


def to_duration(value: Any) -> Duration:
    if isinstance(value, int):
        return span(value)
    found = parse_span(value)
    if found is None:
        raise EvaluationError("type conversion error from 'string' to 'google.protobuf.Duration'")
    return found


def _zone(name: str) -> tzinfo:
    if ":" in name:
        hours, _, minutes = name.partition(":")
        try:
            offset = int(hours) * 60
            offset = offset - int(minutes) if name.startswith("-") else offset + int(minutes)
            return timezone(timedelta(minutes=offset))
        except ValueError:
            raise EvaluationError(f'strconv.Atoi: parsing "{hours}": invalid syntax') from None
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _part(of: Callable[[datetime], int]) -> Callable[..., int]:
    def part(value: Timestamp, zone: str = "") -> int:
        moment = _EPOCH + timedelta(seconds=value.nanoseconds // BILLION)
        try:
            return of(moment.astimezone(_zone(zone)) if zone else moment)
        except OverflowError:
            raise EvaluationError("timestamp overflow") from None

    return part


_INSTANT_PARTS: dict[str, tuple[str, Callable[[datetime], int]]] = {
    "getFullYear": ("year", lambda moment: moment.year),
    "getMonth": ("month", lambda moment: moment.month - 1),
    "getDayOfYear": ("day_of_year", lambda moment: moment.timetuple().tm_yday - 1),
    "getDayOfMonth": ("day_of_month", lambda moment: moment.day - 1),
    "getDate": ("day_of_month_1_based", lambda moment: moment.day),
    "getDayOfWeek": ("day_of_week", lambda moment: moment.isoweekday() % 7),
    "getHours": ("hours", lambda moment: moment.hour),
    "getMinutes": ("minutes", lambda moment: moment.minute),
    "getSeconds": ("seconds", lambda moment: moment.second),
}
_SPAN_PARTS = {"getHours": 3600 * BILLION, "getMinutes": 60 * BILLION, "getSeconds": BILLION, "getMilliseconds": 10**6}


def _milliseconds(value: Timestamp, zone: str = "") -> int:
    if zone:
        _zone(zone)
    return value.nanoseconds % BILLION // 10**6


def _whole(unit: int) -> Callable[[Duration], int]:
    return lambda value: int(abs(value.nanoseconds) // unit) * (-1 if value.nanoseconds < 0 else 1)


def declare(into: Collection) -> None:
    for name, (suffix, of) in _INSTANT_PARTS.items():
        into.add(f"timestamp_to_{suffix}", f"timestamp::{name}() -> int", _part(of))
        into.add(f"timestamp_to_{suffix}_with_tz", f"timestamp::{name}(string) -> int", _part(of))
    into.add("timestamp_to_milliseconds", "timestamp::getMilliseconds() -> int", _milliseconds)
    into.add("timestamp_to_milliseconds_with_tz", "timestamp::getMilliseconds(string) -> int", _milliseconds)
    for name, unit in _SPAN_PARTS.items():
        into.add(f"duration_to_{name[3:].lower()}", f"duration::{name}() -> int", _whole(unit))
