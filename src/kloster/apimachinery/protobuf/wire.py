"""Protobuf's wire format: tags, varints and lengths, and the words for bytes that are none.

A message is a run of fields: a tag (number and wire type), then a varint (type 0), eight bytes (1), a length and
that many bytes (2), or four bytes (5). Numbers that a reader does not know are skipped, nested groups (3, 4) too.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from functools import cache

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
_MASK = 0xFFFFFFFFFFFFFFFF
_SIGN = 1 << 63


class WireError(ValueError):
    """Bytes that are not what they should be; the message is upstream's."""


def end_of_data() -> WireError:
    return WireError("unexpected EOF")


def varint(value: int) -> bytes:
    """An integer of up to 64 bits; negative ones take ten bytes."""
    if 0 <= value < 0x80:
        return _ONE[value]
    value &= _MASK
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_ONE = [bytes((value,)) for value in range(0x80)]


@cache
def tag(number: int, type: int = BYTES) -> bytes:
    return varint(number << 3 | type)


@cache
def heads(number: int) -> list[bytes]:
    """Tag and length of a field, for lengths below 128, by length."""
    return [tag(number) + length for length in _ONE]


def field(number: int, data: bytes) -> bytes:
    """A field with a length: a text, bytes, a message."""
    size = len(data)
    return heads(number)[size] + data if size < 0x80 else tag(number) + varint(size) + data


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(unsigned value, what comes after it)."""
    value = shift = 0
    while shift < 64:
        if at >= end:
            raise end_of_data()
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, at
        shift += 7
    raise WireError("proto: integer overflow")


def signed(value: int) -> int:
    """An unsigned value as Go's int64."""
    return value - (_SIGN << 1) if value & _SIGN else value


def signed32(value: int) -> int:
    """An unsigned value as Go's int32, which takes the lower half."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value & 0x80000000 else value


def read_span(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(begin, end) of a field that has a length."""
    if at < end and data[at] < 0x80:
        size = data[at]
        at += 1
    else:
        size, at = read_varint(data, at, end)
        if size & _SIGN:
            raise WireError("proto: negative length found during unmarshaling")
    if at + size > end:
        raise end_of_data()
    return at, at + size


def read_tag(data: bytes, at: int, end: int, message: str) -> tuple[int, int, int]:
    """(number, wire type, what comes after the tag). `message` is named in errors."""
    value, after = read_varint(data, at, end)
    number, type = signed32(value >> 3), value & 7
    if type == END_GROUP:
        raise WireError(f"proto: {message}: wiretype end group for non-group")
    if number <= 0:
        raise WireError(f"proto: {message}: illegal tag {number} (wire type {value})")
    return number, type, after


def skip(data: bytes, at: int, end: int) -> int:
    """What comes after the field whose tag stands at `at`."""
    depth = 0
    while True:
        value, at = read_varint(data, at, end)
        type = value & 7
        if type == VARINT:
            _, at = read_varint(data, at, end)
        elif type == FIXED64:
            at += 8
        elif type == BYTES:
            at = read_span(data, at, end)[1]
        elif type == GROUP:
            depth += 1
        elif type == END_GROUP:
            if depth == 0:
                raise WireError("proto: unexpected end of group")
            depth -= 1
        elif type == FIXED32:
            at += 4
        else:
            raise WireError(f"proto: illegal wireType {type}")
        if at > end:
            raise end_of_data()
        if depth == 0:
            return at
