"""When a CronJob is due: cron expressions, the descriptors ``@daily`` and ``@every``, and time zones. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")
_TOO_MANY = 100


class BadSchedule(ValueError):
    """The schedule cannot be understood."""


class BadTimeZone(ValueError):
    """The time zone is not known."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`after` gives the first time due after another one (seconds since the epoch); None: never again."""

    after: Callable[[float], float | None]
    zone: tzinfo

    def shown(self, at: float) -> str:
        """A scheduled time as the Job's annotation shows it: RFC 3339 in the schedule's zone."""
        return datetime.fromtimestamp(at, self.zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def parse(text: str, zone_name: str | None = None) -> Schedule:
    """Raises BadSchedule, BadTimeZone."""
    match = re.match(r"(?:CRON_)?TZ=(\S+)\s+(.*)", text)
    if match is not None:
        zone_name, text = match.groups()
    zone = _zone(zone_name)
    if text.startswith("@every "):
        step = max(1, int(_duration(text.removeprefix("@every ").strip())))
        return Schedule(lambda at: float(int(at) + step), zone)
    expression = _DESCRIPTORS.get(text, text)
    try:
        CronSim(expression, datetime.now(zone))
    except CronSimError as error:
        raise BadSchedule(str(error)) from error

    def after(at: float) -> float | None:
        start = datetime.fromtimestamp(int(at), zone)
        try:
            return float(next(_ticks(expression, start)).timestamp())
        except StopIteration:
            return None

    return Schedule(after, zone)


def _ticks(expression: str, start: datetime) -> Iterator[datetime]:
    yield from CronSim(expression, start)


def _zone(name: str | None) -> tzinfo:
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadTimeZone(f"unknown time zone {name}") from error


def _duration(text: str) -> float:
    position, total = 0, 0.0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            break
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise BadSchedule(f"failed to parse duration @every {text}: time: invalid duration")
    return total


@dataclass(frozen=True, slots=True)
class Due:
    """`at`: the most recent time that is due and has not been served. `missed_many`: more than a hundred were not."""

    at: float | None
    missed_many: bool = False


def most_recent(schedule: Schedule, earliest: float, now: float) -> Due:
    """The last time due in (`earliest`, `now`]."""
    first = schedule.after(earliest)
    if first is None or first > now:
        return Due(None)
    second = schedule.after(first)
    if second is None or second > now:
        return Due(first)
    step = second - first
    missed = int((now - first) // step) + 1
    # Go near the end in one stride (steps may be uneven: back by two), then walk.
    at = max(first, first + (missed - 2) * step - 1) if missed > 3 else first
    last = first
    for _ in itertools.repeat(None, 10_000):
        following = schedule.after(at)
        if following is None or following > now:
            break
        last = at = following
    return Due(last, missed > _TOO_MANY)
