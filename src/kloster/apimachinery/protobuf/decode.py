"""Decoding: a message becomes the object that `schema.decode` would make of the same thing in JSON.

The model. The result has the known fields in upstream's order, without what Go leaves out of JSON; what is unknown is
skipped, as protobuf wants it. Bytes that are no message raise `WireError` in upstream's words. Of a field that is
no list, the last occurrence counts.

The mechanism. For each struct two closures are made on first use: one that reads fields by their tag into a
dictionary, one that puts these in order and adds the zero values. Messages nest to `DEPTH` levels, no deeper than JSON
may.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.protobuf import leaves, wire
from kloster.apimachinery.protobuf.encode import WRAPPED, split
from kloster.apimachinery.protobuf.wire import WireError
from kloster.apimachinery.schema import leaves as json_leaves
from kloster.apimachinery.schema.decode import zero_maker
from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type

DEPTH = 150
_NAME = "protobuf-decode"
# (bytes, begin, end, depth) → value
Decoder = Callable[[bytes, int, int, int], Any]
# (bytes, what comes after the tag, end, what was read so far, depth) → what comes after the field
_Reader = Callable[[bytes, int, int, Object, int], int]
# How a field is read: by a reader of its own, or, most of them, as one value with a length: a text if it has no decoder
_Entry = tuple[str, Decoder | None, _Reader | None]
# (JSON name, an empty value is left out, constant zero, maker of a zero struct)
_Slot = tuple[str, bool, Any, Callable[[], Any] | None]
_INITIALS = {"uid": "UID", "ip": "IP", "id": "ID", "apiVersion": "APIVersion", "apiGroup": "APIGroup"}


def decode(type: StructType, data: bytes) -> Object:
    """The object in a message. Raises WireError."""
    found: Object = struct_decoder(type)(data, 0, len(data), 0)
    return found


def struct_decoder(type: StructType) -> Decoder:
    """The decoder of a struct, made once per type."""
    found: Decoder | None = type.compiled.get(_NAME)
    if found is None:
        found = type.compiled[_NAME] = _either(type) if isinstance(type, EitherType) else _struct(type)
    return found


def _struct(type: StructType) -> Decoder:
    read: Callable[[bytes, int, int, Object, int], None] | None = None
    slots: list[_Slot] = []

    def decode_struct(data: bytes, at: int, end: int, depth: int) -> Object:
        nonlocal read, slots
        if read is None:
            fields = [field for field in type.fields.values() if field.number]
            slots = [_slot(field) for field in fields]
            read = _message(type, fields, 0)
        if depth > DEPTH:
            raise WireError("proto: exceeded max depth")
        found: Object = {}
        read(data, at, end, found, depth)
        result: Object = {}
        get = found.get
        for name, drop, zero, make in slots:
            item = get(name)
            if item is None:
                if zero is not None:
                    result[name] = zero
                elif make is not None:
                    result[name] = make()
            elif item or not drop:
                result[name] = item
        return result

    return decode_struct


def _slot(field: Field) -> _Slot:
    """As the JSON decoder has it."""
    type = field.type
    if field.pointer:
        return field.name, False, None, None
    if isinstance(type, ListType | MapType) or type is Leaf.BYTES:
        return field.name, True, None, None
    if isinstance(type, Leaf):
        drop = field.omitempty and type not in json_leaves.NEVER_EMPTY
        return field.name, drop, None if drop else json_leaves.ZERO.get(type), None
    if isinstance(type, EitherType):
        return field.name, False, None, None
    if field.omitzero:
        return field.name, True, None, None
    return field.name, False, None, lambda: struct_decoder(type)(b"", 0, 0, 0)


def _message(type: StructType, fields: list[Field], level: int) -> Callable[[bytes, int, int, Object, int], None]:
    """Reads the fields of a message `level` structs below `type`, into one dictionary for all levels."""
    message = type.name.rpartition(".")[2]
    own, embedded = split(fields, level)
    readers: dict[int, _Entry] = {}
    names = {field.number: _go_name(field) for field in own}
    for field in own:
        for kind, entry in _entries(type, field):
            readers[field.number << 3 | kind] = entry
    for number, inner in embedded.items():
        names[number] = message
        readers[number << 3 | wire.BYTES] = ("", None, _embedded(_message(type, inner, level + 1)))

    def read_message(data: bytes, at: int, end: int, found: Object, depth: int) -> None:
        while at < end:
            begin = at
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = wire.read_varint(data, begin, end)
            entry = readers.get(tag)
            if entry is None:
                number, kind, _ = wire.read_tag(data, begin, end, message)
                if number in names:
                    raise WireError(f"proto: wrong wireType = {kind} for field {names[number]}")
                at = wire.skip(data, begin, end)
                continue
            name, decode_value, read = entry
            if read is not None:
                at = read(data, at, end, found, depth)
                continue
            if at < end and data[at] < 0x80:
                begin = at + 1
                at = begin + data[at]
                if at > end:
                    raise wire.end_of_data()
            else:
                begin, at = wire.read_span(data, at, end)
            if decode_value is None:
                found[name] = data[begin:at].decode("utf-8", "replace")
            else:
                found[name] = decode_value(data, begin, at, depth + 1)

    return read_message


def _go_name(field: Field) -> str:
    """What upstream's errors call a field: its name in Go."""
    if field.name == "metadata" and isinstance(field.type, StructType):
        return field.type.name.rpartition(".")[2]
    return _INITIALS.get(field.name) or field.name[:1].upper() + field.name[1:]


def _embedded(read_inner: Callable[[bytes, int, int, Object, int], None]) -> _Reader:
    def read(data: bytes, at: int, end: int, found: Object, depth: int) -> int:
        begin, stop = wire.read_span(data, at, end)
        read_inner(data, begin, stop, found, depth)
        return stop

    return read


def _entries(type: StructType, field: Field) -> list[tuple[int, _Entry]]:
    """(wire type, entry) for each way in which a field may stand."""
    name, value = field.name, field.type
    if isinstance(value, ListType) and (type.name, name) in WRAPPED:
        return [(wire.BYTES, (name, _wrapped(value), None))]
    readers = _readers(name, value)
    if readers:
        return [(kind, (name, None, read)) for kind, read in readers]
    return [(wire.BYTES, (name, None if value is Leaf.STRING else decoder(value), None))]


def _readers(name: str, value: Type) -> list[tuple[int, _Reader]]:
    """(wire type, reader) of fields that are not one value with a length."""
    if isinstance(value, MapType):
        return [(wire.BYTES, _map(name, value))]
    if isinstance(value, ListType):
        number = _NUMBERS.get(value.item) if isinstance(value.item, Leaf) else None
        if number is not None:
            kind, decode_item = number
            return [(kind, _numbers(name, decode_item)), (wire.BYTES, _packed(name, decode_item))]
        return [(wire.BYTES, _repeated(name, decoder(value.item)))]
    number = _NUMBERS.get(value) if isinstance(value, Leaf) else None
    if number is None:
        return []
    small: list[Any] | None = None
    if value is not Leaf.FLOAT:
        small = [byte != 0 for byte in range(0x80)] if value is Leaf.BOOL else list(range(0x80))
    return [(number[0], _scalar(name, number[1], small))]


# --- fields of numbers ------------------------------------------------------------------------------------------------

_Number = Callable[[bytes, int, int], tuple[Any, int]]


def _int32(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value, at = wire.read_varint(data, at, end)
    return wire.signed32(value), at


def _int64(data: bytes, at: int, end: int) -> tuple[int, int]:
    value, at = wire.read_varint(data, at, end)
    return wire.signed(value), at


def _bool(data: bytes, at: int, end: int) -> tuple[bool, int]:
    value, at = wire.read_varint(data, at, end)
    return value != 0, at


def _float(data: bytes, at: int, end: int) -> tuple[int | float, int]:
    if at + 8 > end:
        raise wire.end_of_data()
    value: float = struct.unpack_from("<d", data, at)[0]
    if value != value or value in (float("inf"), float("-inf")):
        raise WireError(f"json: unsupported value: {'NaN' if value != value else f'{value:+}'.title()}")
    return json_leaves.plain_number(value), at + 8


_NUMBERS: dict[Leaf, tuple[int, _Number]] = {
    Leaf.INT32: (wire.VARINT, _int32),
    Leaf.INT64: (wire.VARINT, _int64),
    Leaf.BOOL: (wire.VARINT, _bool),
    Leaf.FLOAT: (wire.FIXED64, _float),
}


def _scalar(name: str, decode_number: _Number, small: list[Any] | None) -> _Reader:
    """`small`: the values of numbers that take one byte."""

    def read(data: bytes, at: int, end: int, found: Object, _: int) -> int:
        if small is not None and at < end and data[at] < 0x80:
            found[name] = small[data[at]]
            return at + 1
        found[name], at = decode_number(data, at, end)
        return at

    return read


def _numbers(name: str, decode_number: _Number) -> _Reader:
    def read(data: bytes, at: int, end: int, found: Object, _: int) -> int:
        value, at = decode_number(data, at, end)
        found.setdefault(name, []).append(value)
        return at

    return read


def _packed(name: str, decode_number: _Number) -> _Reader:
    """The other way in which a list of numbers may be written."""

    def read(data: bytes, at: int, end: int, found: Object, _: int) -> int:
        at, stop = wire.read_span(data, at, end)
        items = found.setdefault(name, [])
        while at < stop:
            value, at = decode_number(data, at, stop)
            items.append(value)
        return stop

    return read


# --- fields with a length ---------------------------------------------------------------------------------------------


def decoder(type: Type) -> Decoder:
    """Decodes the payload of a field with a length."""
    if type is Leaf.STRING:
        return _text
    if isinstance(type, Leaf):
        decode_leaf = leaves.DECODERS[type]
        return lambda data, at, end, _: decode_leaf(data[at:end])
    if isinstance(type, ListType):
        return _wrapped(type)
    if isinstance(type, MapType):
        raise TypeError("protobuf has no maps inside maps and lists")
    return struct_decoder(type)


def _text(data: bytes, at: int, end: int, _: int) -> str:
    return data[at:end].decode("utf-8", "replace")


def _repeated(name: str, decode_item: Decoder) -> _Reader:
    def read(data: bytes, at: int, end: int, found: Object, depth: int) -> int:
        begin, stop = wire.read_span(data, at, end)
        found.setdefault(name, []).append(decode_item(data, begin, stop, depth + 1))
        return stop

    return read


def _wrapped(type: ListType) -> Decoder:
    """A list as a message {items}."""
    decode_item = decoder(type.item)

    def decode_list(data: bytes, at: int, end: int, depth: int) -> list[Any]:
        items = []
        while at < end:
            number, kind, after = wire.read_tag(data, at, end, "Items")
            if number != 1:
                at = wire.skip(data, at, end)
                continue
            if kind != wire.BYTES:
                raise WireError(f"proto: wrong wireType = {kind} for field Items")
            begin, at = wire.read_span(data, after, end)
            items.append(decode_item(data, begin, at, depth + 1))
        return items

    return decode_list


def _map(name: str, type: MapType) -> _Reader:
    """An entry: a message {key, value}."""
    decode_value = decoder(type.value)
    make = zero_maker(type.value)

    def read(data: bytes, at: int, end: int, found: Object, depth: int) -> int:
        at, stop = wire.read_span(data, at, end)
        key, value, given = "", None, False
        while at < stop:
            number, after = data[at] >> 3, at + 1
            if number not in (1, 2):
                number, _, after = wire.read_tag(data, at, stop, name)
                if number > 2:
                    at = wire.skip(data, at, stop)
                    continue
            # As in upstream, the wire type of keys and values is not looked at.
            begin, at = wire.read_span(data, after, stop)
            if number == 1:
                key = _text(data, begin, at, 0)
            else:
                value, given = decode_value(data, begin, at, depth + 1), True
        found.setdefault(name, {})[key] = value if given else make()
        return stop

    return read


def _either(type: EitherType) -> Decoder:
    """{schema, other} with the one that there is; where the other is a boolean, {allows, schema}."""
    boolean = type.other is Leaf.BOOL
    schema = Field("schema", type.struct, number=2 if boolean else 1, pointer=True)
    other = Field("other", type.other, number=1 if boolean else 2)
    name = type.name
    read: Callable[[bytes, int, int, Object, int], None] | None = None

    def decode_either(data: bytes, at: int, end: int, depth: int) -> Any:
        nonlocal read
        if read is None:
            read = _message(StructType(name), [schema, other], 0)
        found: Object = {}
        read(data, at, end, found, depth)
        if "schema" in found:
            return found["schema"]
        return found.get("other", False if boolean else None)

    return decode_either
