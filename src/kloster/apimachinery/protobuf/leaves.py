"""Values without structure that are messages of their own in protobuf, and base64 text that is plain bytes.

`ENCODERS` and `DECODERS` map a JSON value to the payload of its field and back. JSON inside protobuf (raw extensions,
managed fields, defaults of schemas) is kept as text.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from kloster.apimachinery import quantity
from kloster.apimachinery.protobuf import wire
from kloster.apimachinery.protobuf.wire import WireError
from kloster.apimachinery.schema.model import Leaf

_DAY = 86400
_ZERO_TIME = -62135596800  # the first moment of year 1, Go's zero time
_LAST_TIME = 253402300799  # the last second of year 9999


# --- times: seconds and nanoseconds since 1970, nothing at all for the zero time ------------------------------------


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 in the proleptic Gregorian calendar, counted in years that begin in March."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _date(days: int) -> tuple[int, int, int]:
    """The reverse: year, month, day."""
    era, day = divmod(days + 719468, 146097)
    of_era = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= of_era * 365 + of_era // 4 - of_era // 100
    shifted = (5 * day + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + of_era + (month <= 2), month, day - (153 * shifted + 2) // 5 + 1


@lru_cache(maxsize=4096)
def encode_time(text: str) -> bytes:
    """RFC 3339 in UTC, with or without a fraction (an object has the same time in several places, hence the cache)."""
    seconds = _days(int(text[:4]), int(text[5:7]), int(text[8:10])) * _DAY
    seconds += int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    nanos = int(text[20:-1].ljust(9, "0")) if text[19] == "." else 0
    return b"\x08" + wire.varint(seconds) + b"\x10" + wire.varint(nanos)


def _read_time(data: bytes) -> tuple[int, int] | None:
    """(seconds, nanoseconds), None for the zero time."""
    if not data:
        return None
    seconds = nanos = at = 0
    while at < len(data):
        number, type, after = wire.read_tag(data, at, len(data), "Timestamp")
        if number > 2:
            at = wire.skip(data, at, len(data))
            continue
        if type != wire.VARINT:
            raise WireError(f"proto: wrong wireType = {type} for field {'Seconds' if number == 1 else 'Nanos'}")
        value, at = wire.read_varint(data, after, len(data))
        if number == 1:
            seconds = wire.signed(value)
        else:
            nanos = wire.signed32(value)
    seconds, nanos = seconds + nanos // 1_000_000_000, nanos % 1_000_000_000
    if not _ZERO_TIME <= seconds <= _LAST_TIME:
        raise WireError(f"proto: Timestamp: {seconds} seconds are outside the years 1 to 9999")
    return seconds, nanos


@lru_cache(maxsize=4096)
def _written(seconds: int) -> str:
    days, rest = divmod(seconds, _DAY)
    year, month, day = _date(days)
    return f"{year:04d}-{month:02d}-{day:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


@lru_cache(maxsize=4096)
def decode_time(data: bytes) -> str | None:
    """Whole seconds: upstream ignores what protobuf could say beyond."""
    found = _read_time(data)
    return None if found is None or found[0] == _ZERO_TIME else _written(found[0]) + "Z"


def decode_micro_time(data: bytes) -> str | None:
    found = _read_time(data)
    if found is None or found == (_ZERO_TIME, 0):
        return None
    return f"{_written(found[0])}.{found[1] // 1000:06d}Z"


# --- other values -----------------------------------------------------------------------------------------------------


def encode_quantity(text: str) -> bytes:
    return wire.field(1, text.encode())


@lru_cache(maxsize=1024)
def decode_quantity(data: bytes) -> str:
    found = _only(data, "Quantity", "String_")
    if found is None:
        return "0"
    try:
        return quantity.canonical(found.decode("utf-8", "replace"))
    except quantity.QuantityError as error:
        raise WireError(str(error)) from None


def encode_int_or_string(value: int | str) -> bytes:
    """{type, intVal, strVal}: all three are written."""
    if value.__class__ is str:
        return b"\x08\x01\x10\x00" + wire.field(3, value.encode())
    return b"\x08\x00\x10" + wire.varint(int(value)) + b"\x1a\x00"


def decode_int_or_string(data: bytes) -> int | str:
    type = number = at = 0
    text = ""
    end = len(data)
    while at < end:
        field, kind, after = wire.read_tag(data, at, end, "IntOrString")
        if field > 3:
            at = wire.skip(data, at, end)
            continue
        if kind != (wire.BYTES if field == 3 else wire.VARINT):
            raise WireError(f"proto: wrong wireType = {kind} for field {('Type', 'IntVal', 'StrVal')[field - 1]}")
        if field == 3:
            begin, at = wire.read_span(data, after, end)
            text = data[begin:at].decode("utf-8", "replace")
            continue
        value, at = wire.read_varint(data, after, end)
        if field == 1:
            type = wire.signed(value)
        else:
            number = wire.signed32(value)
    if type not in (0, 1):
        raise WireError("impossible IntOrString.Type")
    return text if type else number


def encode_bytes(text: str) -> bytes:
    return binascii.a2b_base64(text)


def decode_bytes(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def encode_json(value: Any) -> bytes:
    """{raw}: the value's text; nothing for null."""
    return b"" if value is None else wire.field(1, orjson.dumps(value))


def _json_decoder(message: str) -> Callable[[bytes], Any]:
    def decode_json(data: bytes) -> Any:
        found = _only(data, message, "Raw")
        if not found:
            return None
        try:
            return orjson.loads(found)
        except orjson.JSONDecodeError:
            raise WireError(f"proto: {message}: raw is not JSON") from None

    return decode_json


def _only(data: bytes, message: str, name: str) -> bytes | None:
    """The bytes of field 1, the only one of `message`."""
    found = None
    at, end = 0, len(data)
    while at < end:
        number, type, after = wire.read_tag(data, at, end, message)
        if number != 1:
            at = wire.skip(data, at, end)
            continue
        if type != wire.BYTES:
            raise WireError(f"proto: wrong wireType = {type} for field {name}")
        begin, at = wire.read_span(data, after, end)
        found = data[begin:at]
    return found


# Payloads of fields with a length, by type. Numbers, booleans and text are no messages: see encode, decode.
ENCODERS: dict[Leaf, Callable[[Any], bytes]] = {
    Leaf.BYTES: encode_bytes,
    Leaf.QUANTITY: encode_quantity,
    Leaf.INT_OR_STRING: encode_int_or_string,
    Leaf.TIME: encode_time,
    Leaf.MICRO_TIME: encode_time,
    Leaf.RAW: encode_json,
    Leaf.FIELDS: encode_json,
    Leaf.ANY: encode_json,
}
DECODERS: dict[Leaf, Callable[[bytes], Any]] = {
    Leaf.BYTES: decode_bytes,
    Leaf.QUANTITY: decode_quantity,
    Leaf.INT_OR_STRING: decode_int_or_string,
    Leaf.TIME: decode_time,
    Leaf.MICRO_TIME: decode_micro_time,
    Leaf.RAW: _json_decoder("RawExtension"),
    Leaf.FIELDS: _json_decoder("FieldsV1"),
    Leaf.ANY: _json_decoder("JSON"),
}
# Payloads of absent values of types that are no pointers.
ZERO: dict[Leaf, bytes] = {
    Leaf.QUANTITY: encode_quantity("0"),
    Leaf.INT_OR_STRING: encode_int_or_string(0),
    Leaf.TIME: b"",
    Leaf.MICRO_TIME: b"",
    Leaf.RAW: b"",
    Leaf.FIELDS: b"",
    Leaf.ANY: b"",
    Leaf.STRING: b"",
    Leaf.BYTES: b"",
}
