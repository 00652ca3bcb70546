"""Times as Go's ``time.Parse`` reads them, with its complaints, and as the API writes them.

metav1.Time is read as RFC 3339 with any fraction and written in whole seconds; metav1.MicroTime is read with exactly
six decimals and written so. Both are written in UTC. The zero time (year 1) is written as null.
Source: https://pkg.go.dev/time#Parse, https://pkg.go.dev/k8s.io/apimachinery/pkg/apis/meta/v1#Time
"""

from __future__ import annotations

import calendar
import datetime
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """`text` is Go's reference time in this layout; `micros` asks for exactly six decimals."""

    text: str
    micros: bool


RFC3339 = Layout("2006-01-02T15:04:05Z07:00", False)
RFC3339_MICRO = Layout("2006-01-02T15:04:05.000000Z07:00", True)


def canonical(text: str, layout: Layout) -> str | None:
    """`text` as the API writes it, None for the zero time. Raises ValueError with Go's words."""
    reading = _Reading(text, layout)
    year = reading.year()
    reading.literal("-")
    month = reading.number("01", True, 1, 12, "month")
    reading.literal("-")
    day = reading.number("02", True, 0, 99, "day")
    reading.literal("T")
    hour = reading.number("15", False, 0, 23, "hour")
    reading.literal(":")
    minute = reading.number("04", True, 0, 59, "minute")
    reading.literal(":")
    second = reading.number("05", True, 0, 59, "second")
    micros = reading.fraction()
    offset = reading.zone()
    reading.end()
    if not 1 <= day <= (29 if month == 2 and calendar.isleap(year) else _DAYS[month - 1]):
        raise reading.out_of_range("day")
    return _written(year, (month, day, hour, minute, second), micros, offset, layout)


_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _written(year: int, rest: tuple[int, int, int, int, int], micros: int, offset: int, layout: Layout) -> str | None:
    # Python's years begin at 1, Go's at 0; the shift by a whole Gregorian cycle changes no date.
    shift = 400 if year < 2 else 0
    moment = datetime.datetime(year + shift, *rest) - datetime.timedelta(minutes=offset)
    if (moment.year - shift, *moment.timetuple()[1:6], micros) == (1, 1, 1, 0, 0, 0, 0):
        return None
    fraction = f".{micros:06d}" if layout.micros else ""
    return f"{moment.year - shift:04d}-{moment:%m-%dT%H:%M:%S}{fraction}Z"


class _Reading:
    """What is left of the text while the layout is followed from left to right."""

    def __init__(self, text: str, layout: Layout) -> None:
        self._text = text
        self._left = text
        self._layout = layout

    def _expected(self, element: str) -> ValueError:
        text, left = (_quoted(part) for part in (self._text, self._left))
        return ValueError(f'parsing time {text} as "{self._layout.text}": cannot parse {left} as "{element}"')

    def out_of_range(self, what: str) -> ValueError:
        return ValueError(f"parsing time {_quoted(self._text)}: {what} out of range")

    def literal(self, character: str) -> None:
        if not self._left.startswith(character):
            raise self._expected(character)
        self._left = self._left[1:]

    def year(self) -> int:
        digits = self._left[:4]
        if len(digits) < 4 or not _is_number(digits):
            raise self._expected("2006")
        self._left = self._left[4:]
        return int(digits)

    def number(self, element: str, fixed: bool, low: int, high: int, what: str) -> int:
        """Two digits; one will do unless `fixed`."""
        digits = self._left[:2]
        if not _is_number(digits) or len(digits) < 2:
            digits = digits[:1]
            if fixed or not _is_number(digits):
                raise self._expected(element)
        self._left = self._left[len(digits) :]
        if not low <= int(digits) <= high:
            raise self.out_of_range(what)
        return int(digits)

    def fraction(self) -> int:
        """Microseconds."""
        left = self._left
        if self._layout.micros:
            if left[:1] not in (".", ",") or len(left) < 7 or not _is_number(left[1:7]):
                raise self._expected(".000000")
            self._left = left[7:]
            return int(left[1:7])
        if left[:1] not in (".", ",") or not _is_number(left[1:2]):
            return 0
        length = 1
        while _is_number(left[length : length + 1]):
            length += 1
        self._left = left[length:]
        return int(left[1:7][: length - 1].ljust(6, "0"))

    def zone(self) -> int:
        """Minutes east of Greenwich."""
        left = self._left
        if left.startswith("Z"):
            self._left = left[1:]
            return 0
        sign, hours, colon, minutes = left[:1], left[1:3], left[3:4], left[4:6]
        if len(left) < 6 or colon != ":" or not (_is_number(hours) and _is_number(minutes)) or sign not in "+-":
            raise self._expected("Z07:00")
        if int(hours) > 24:
            raise self.out_of_range("time zone offset hour")
        if int(minutes) > 60:
            raise self.out_of_range("time zone offset minute")
        self._left = left[6:]
        offset = int(hours) * 60 + int(minutes)
        return offset if sign == "+" else -offset

    def end(self) -> None:
        if self._left:
            text, left = (_quoted(part) for part in (self._text, self._left))
            raise ValueError(f"parsing time {text}: extra text: {left}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _quoted(text: str) -> str:
    """Quoted as Go's time package does: everything that is not printable ASCII byte by byte."""
    return '"' + "".join(map(_escaped, text.encode("utf-8", "surrogatepass"))) + '"'


def _escaped(byte: int) -> str:
    if not 0x20 <= byte < 0x80:
        return f"\\x{byte:02x}"
    return f"\\{chr(byte)}" if byte in b'"\\' else chr(byte)
