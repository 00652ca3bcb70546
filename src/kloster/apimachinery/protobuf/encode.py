"""Encoding: an object becomes the message that upstream's generated code would write.

The model. A struct's fields are written in the order of their numbers, whatever their order in JSON. What is no
pointer in Go is always there, zero or not; pointers, lists and maps only when they are set. Structs that Go embeds,
flattened in JSON, are messages of their own (`Field.path`).

The mechanism. For each field a closure is made once that turns a value into the whole field, tag included; a message
is what its fields' closures return, joined. `compiled` of a type keeps them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.protobuf import leaves, wire
from kloster.apimachinery.schema.build import META
from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type

Encoder = Callable[[Any], bytes]
# (JSON name, writer of the field, the field when absent); a name of None: an embedded struct, which gets the parent
_Slot = tuple[str | None, Encoder, bytes]
_NAME = "protobuf-encode"

# Lists of text whose Go type is a message {items}, as all lists inside maps are.
WRAPPED = frozenset({(f"{META}.APIResource", "verbs")})


class NoMessage(TypeError):
    """A type that has no protobuf form (Table, custom resources)."""


def encode(type: StructType, object: Object) -> bytes:
    """The message of an object. Raises NoMessage."""
    return struct_encoder(type)(object)


def has_message(type: StructType) -> bool:
    """Whether objects of this type have a protobuf form."""
    return not type.sorted and any(field.number for field in type.fields.values())


def struct_encoder(type: StructType) -> Encoder:
    """The encoder of a struct, made once per type."""
    found: Encoder | None = type.compiled.get(_NAME)
    if found is None:
        found = type.compiled[_NAME] = _either(type) if isinstance(type, EitherType) else _lazy(type)
    return found


def _lazy(type: StructType) -> Encoder:
    """Looks at the fields when the first object comes: types may contain themselves."""
    made: Encoder | None = None

    def encode_struct(value: Object) -> bytes:
        nonlocal made
        if made is None:
            if type.fields and not has_message(type):
                raise NoMessage(type.name)
            made = _message(type, [field for field in type.fields.values() if field.number], 0)
            type.compiled[_NAME] = made
        return made(value)

    return encode_struct


def split(fields: Iterable[Field], depth: int) -> tuple[list[Field], dict[int, list[Field]]]:
    """Fields that stand `depth` levels below the struct, and those in embedded structs there by their number."""
    own: list[Field] = []
    embedded: dict[int, list[Field]] = {}
    for field in fields:
        if len(field.path) > depth:
            embedded.setdefault(field.path[depth], []).append(field)
        else:
            own.append(field)
    return own, embedded


def _message(type: StructType, fields: list[Field], depth: int) -> Encoder:
    own, embedded = split(fields, depth)
    slots: dict[int, _Slot] = {field.number: _slot(type, field) for field in own}
    for number, inner in embedded.items():
        encode_inner = _message(type, inner, depth + 1)
        slots[number] = (None, _with_length(number, encode_inner), b"")
    return _joined([slots[number] for number in sorted(slots)])


def _joined(slots: list[_Slot]) -> Encoder:
    def encode_message(value: Object) -> bytes:
        get = value.get
        parts = []
        for name, write, absent in slots:
            item = value if name is None else get(name)
            if item is not None:
                parts.append(write(item))
            elif absent:
                parts.append(absent)
        return b"".join(parts)

    return encode_message


def _slot(type: StructType, field: Field) -> _Slot:
    if (type.name, field.name) in WRAPPED:
        return field.name, _with_length(field.number, writer(field.type, 1)), wire.field(field.number, b"")
    optional = field.pointer or isinstance(field.type, ListType | MapType) or field.type is Leaf.BYTES
    return field.name, writer(field.type, field.number), b"" if optional else zero(field.type, field.number)


def zero(type: Type, number: int) -> bytes:
    """The field of a zero value."""
    if isinstance(type, Leaf):
        payload = leaves.ZERO.get(type)
        if payload is not None:
            return wire.field(number, payload)
        if type is Leaf.FLOAT:
            return wire.tag(number, wire.FIXED64) + bytes(8)
        return wire.tag(number, wire.VARINT) + b"\0"
    if isinstance(type, EitherType):
        return wire.field(number, b"\x08\x00" if type.other is Leaf.BOOL else b"")
    return wire.field(number, struct_encoder(type)({}) if isinstance(type, StructType) else b"")


def writer(type: Type, number: int) -> Encoder:
    """Writes a value that is not null as field `number`."""
    if isinstance(type, Leaf):
        return _leaf(type, number)
    if isinstance(type, ListType):
        return _list(type, number)
    if isinstance(type, MapType):
        return _map(type, number)
    return _with_length(number, struct_encoder(type))


def _leaf(type: Leaf, number: int) -> Encoder:
    if type is Leaf.STRING:
        return _text(number)
    if type is Leaf.BOOL:
        no, yes = (wire.tag(number, wire.VARINT) + byte for byte in (b"\0", b"\1"))
        return lambda value: yes if value else no
    if type in (Leaf.INT32, Leaf.INT64):
        head = wire.tag(number, wire.VARINT)
        return lambda value: head + wire.varint(value)
    if type is Leaf.FLOAT:
        head = wire.tag(number, wire.FIXED64)
        pack = struct.Struct("<d").pack
        return lambda value: head + pack(value)
    payload = leaves.ENCODERS.get(type)
    if payload is None:
        raise NoMessage(type.value)
    return _with_length(number, payload)


def _text(number: int) -> Encoder:
    heads, tag, varint = wire.heads(number), wire.tag(number), wire.varint

    def write_text(value: str) -> bytes:
        data = value.encode()
        size = len(data)
        return heads[size] + data if size < 0x80 else tag + varint(size) + data

    return write_text


def _with_length(number: int, payload: Encoder) -> Encoder:
    heads, tag, varint = wire.heads(number), wire.tag(number), wire.varint

    def write_message(value: Any) -> bytes:
        data = payload(value)
        size = len(data)
        return heads[size] + data if size < 0x80 else tag + varint(size) + data

    return write_message


def _list(type: ListType, number: int) -> Encoder:
    item_type, write = type.item, writer(type.item, number)
    return lambda value: b"".join([zero(item_type, number) if item is None else write(item) for item in value])


def _map(type: MapType, number: int) -> Encoder:
    """Entries {key, value} by sorted key; a list as value is a message {items}."""
    wrapped = isinstance(type.value, ListType)
    write = _with_length(2, writer(type.value, 1)) if wrapped else writer(type.value, 2)
    write_key = _text(1)
    field = wire.field

    def write_map(value: Object) -> bytes:
        parts = []
        for key in sorted(value):
            item = value[key]
            entry = write_key(key) + (zero(type.value, 2) if item is None else write(item))
            parts.append(field(number, entry))
        return b"".join(parts)

    return write_map


def _either(type: EitherType) -> Encoder:
    """{schema, other} with the one that there is; where the other is a boolean, {allows, schema}."""
    encode_struct = struct_encoder(type.struct)
    if type.other is Leaf.BOOL:
        write_schema = _with_length(2, encode_struct)

        def encode_or_bool(value: Any) -> bytes:
            if value.__class__ is dict:
                return b"\x08\x01" + write_schema(value)
            return b"\x08\x01" if value else b"\x08\x00"

        return encode_or_bool
    write_schema, write_other = _with_length(1, encode_struct), writer(type.other, 2)
    return lambda value: write_schema(value) if value.__class__ is dict else write_other(value)
