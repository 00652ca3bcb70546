"""Values without structure: what Go's decoder takes for them, and in which form it gives them back.

A decoder gets a JSON value that is not null and returns the canonical value, None for a zero value that is written as
null (times). It raises `Mismatch` where Go's decoder says that a value cannot be unmarshalled into a type, and
`Malformed` where a type's own decoder complains in words of its own.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any

from kloster.apimachinery import quantity
from kloster.apimachinery.schema import times
from kloster.apimachinery.schema.model import Leaf

Decoder = Callable[[Any, list[bool]], Any]


class Mismatch(Exception):
    """A JSON value of the wrong kind. `target` is the Go type, empty where the place tells it."""

    def __init__(self, value: Any, target: str = "", numeric: bool = False) -> None:
        super().__init__()
        self.value = value
        self.target = target
        self.numeric = numeric

    def found(self) -> str:
        """The value as Go names it: numbers are shown where a number was wanted."""
        value = self.value
        if isinstance(value, bool):
            return "bool"
        if isinstance(value, int | float):
            return f"number {value}" if self.numeric else "number"
        return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


class Malformed(Exception):
    """Text of the right kind that cannot be read; the message is upstream's."""


def any_value(value: Any, _: list[bool]) -> Any:
    return value


def string(value: Any, _: list[bool]) -> str:
    if value.__class__ is not str:
        raise Mismatch(value)
    return value


def boolean(value: Any, _: list[bool]) -> bool:
    if value.__class__ is not bool:
        raise Mismatch(value)
    return value


def int32(value: Any, _: list[bool]) -> int:
    if value.__class__ is not int or not -0x80000000 <= value <= 0x7FFFFFFF:
        raise Mismatch(value, numeric=True)
    return value


def int64(value: Any, _: list[bool]) -> int:
    if value.__class__ is not int or not -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        raise Mismatch(value, numeric=True)
    return value


def float64(value: Any, _: list[bool]) -> int | float:
    if value.__class__ is float:
        return plain_number(value)
    if value.__class__ is not int:
        raise Mismatch(value)
    return value


def plain_number(value: float) -> int | float:
    """A float as Go writes it: without a fraction where it has none."""
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def int_or_string(value: Any, unknown: list[bool]) -> int | str:
    if value.__class__ is str:
        return value
    try:
        return int32(value, unknown)
    except Mismatch as error:
        error.target = "int32"
        raise


def resource_quantity(value: Any, _: list[bool]) -> str:
    if value.__class__ is str:
        text = value.strip()
    elif value.__class__ in (int, float):
        text = repr(value)
    else:
        raise Malformed(quantity.FORMAT_ERROR)
    try:
        return quantity.canonical(text)
    except quantity.QuantityError as error:
        raise Malformed(str(error)) from None


_COMMON_TIME = re.compile(
    r"(?!0001-01-01T00:00:00Z)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ",
    re.ASCII,
).fullmatch


def time(value: Any, _: list[bool]) -> str | None:
    if value.__class__ is not str:
        raise Mismatch(value, "string")
    if _COMMON_TIME(value):
        return value
    return _time(value, times.RFC3339)


def micro_time(value: Any, _: list[bool]) -> str | None:
    if value.__class__ is not str:
        raise Mismatch(value, "string")
    return _time(value, times.RFC3339_MICRO)


def _time(text: str, layout: times.Layout) -> str | None:
    try:
        return times.canonical(text, layout)
    except ValueError as error:
        raise Malformed(str(error)) from None


_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII).fullmatch


def duration(value: Any, _: list[bool]) -> str:
    if value.__class__ is not str:
        raise Mismatch(value, "string")
    if not _DURATION(value):
        raise Malformed(f'time: invalid duration "{value}"')
    return value


def base64(value: Any, _: list[bool]) -> str:
    if value.__class__ is not str:
        raise Mismatch(value, "[]uint8")
    raw = value.encode("utf-8", "replace").translate(None, b"\r\n")
    try:
        return binascii.b2a_base64(binascii.a2b_base64(raw, strict_mode=True), newline=False).decode()
    except binascii.Error:
        raise Malformed(f"illegal base64 data at input byte {_base64_error(value.encode())}") from None


_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _base64_error(text: bytes) -> int:
    """Where Go's decoder gives up: the start of an incomplete group, or the first byte that does not belong."""
    place = in_group = 0
    while place < len(text):
        byte = text[place]
        place += 1
        if byte in _ALPHABET:
            in_group = (in_group + 1) % 4
        elif byte not in b"\r\n":
            if byte != ord("=") or in_group < 2:
                return place - 1
            return _padding_error(text, place, in_group)
    return place - in_group


def _padding_error(text: bytes, place: int, in_group: int) -> int:
    rest = text[place:]
    if in_group == 2:
        trimmed = rest.lstrip(b"\r\n")
        place += len(rest) - len(trimmed)
        if not trimmed:
            return len(text)
        if not trimmed.startswith(b"="):
            return place - 1
        place, rest = place + 1, trimmed[1:]
    return place + len(rest) - len(rest.lstrip(b"\r\n"))


DECODERS: dict[Leaf, Decoder] = {
    Leaf.STRING: string,
    Leaf.INT32: int32,
    Leaf.INT64: int64,
    Leaf.FLOAT: float64,
    Leaf.BOOL: boolean,
    Leaf.BYTES: base64,
    Leaf.QUANTITY: resource_quantity,
    Leaf.INT_OR_STRING: int_or_string,
    Leaf.TIME: time,
    Leaf.MICRO_TIME: micro_time,
    Leaf.DURATION: duration,
    Leaf.RAW: any_value,
    Leaf.FIELDS: any_value,
    Leaf.ANY: any_value,
}

# What an absent value of a type that is no pointer is written as; leaves that are not listed are written as null.
ZERO: dict[Leaf, Any] = {
    Leaf.STRING: "",
    Leaf.INT32: 0,
    Leaf.INT64: 0,
    Leaf.FLOAT: 0,
    Leaf.BOOL: False,
    Leaf.QUANTITY: "0",
    Leaf.INT_OR_STRING: 0,
    Leaf.DURATION: "0s",
}

# Go structs to the encoder, hence never left out by omitempty.
NEVER_EMPTY = frozenset(
    (Leaf.QUANTITY, Leaf.INT_OR_STRING, Leaf.DURATION, Leaf.TIME, Leaf.MICRO_TIME, Leaf.RAW, Leaf.ANY, Leaf.FIELDS)
)

GO_TYPES: dict[Leaf, str] = {
    Leaf.STRING: "string",
    Leaf.INT32: "int32",
    Leaf.INT64: "int64",
    Leaf.FLOAT: "float64",
    Leaf.BOOL: "bool",
    Leaf.BYTES: "[]uint8",
    Leaf.QUANTITY: "resource.Quantity",
    Leaf.INT_OR_STRING: "intstr.IntOrString",
    Leaf.TIME: "v1.Time",
    Leaf.MICRO_TIME: "v1.MicroTime",
    Leaf.DURATION: "v1.Duration",
    Leaf.RAW: "runtime.RawExtension",
    Leaf.FIELDS: "v1.FieldsV1",
    Leaf.ANY: "interface {}",
}
