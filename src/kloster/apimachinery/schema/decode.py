"""Decoding: a JSON value becomes an object of a type, as Go's decoder and the API's round trip would make it.

The model. The result is a new object with the known fields only, in upstream's order, in the form in which upstream
would write it again, except that nulls are left out:

- null is the same as absent; empty values of omitempty fields, and empty lists and maps, are left out;
- what Go cannot leave out is there: struct fields that are no pointers (``status: {}``), and zero values of
  fields without omitempty (``name: ""``);
- quantities, times and base64 text are canonical.

Custom resources (structs that are `sorted`) are only pruned: nulls and wrong types are the schema validation's
business, except for their metadata.

The mechanism. For each struct a closure is made once, on first use, which walks its fields in upstream's order. It
neither collects unknown fields nor words errors: when there are any, `findings` walks the value again in the
document's order, since upstream reports in that order. Wrong types are rare, unknown fields are too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.schema import findings, leaves
from kloster.apimachinery.schema.leaves import Decoder, Malformed, Mismatch
from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type

DecodeError = findings.DecodeError

# (name, decoder, an empty value is left out, constant zero, maker of a zero struct)
_Slot = tuple[str, Decoder, bool, Any, Callable[[], Any] | None]
_NAME = "decode"


@dataclass(frozen=True, slots=True)
class Decoded:
    """`unknown` are findings in upstream's words: ``unknown field "spec.containers[0].foo"``."""

    object: Object
    unknown: list[str]


def decode(type: StructType, value: Any, *, path: str = "") -> Decoded:
    """Decode `value`; `path` is where it stands, for findings. Raises DecodeError (400) in upstream's words."""
    value = _representable(type, value)
    unknown: list[bool] = []
    try:
        decoded = struct_decoder(type)(value, unknown)
    except (Mismatch, Malformed):
        raise findings.decode_error(type, value) from None
    return Decoded(decoded, findings.unknown_fields(type, value, path) if unknown else [])


def _representable(type: StructType, value: Any) -> Any:
    """`value` with only what JSON can say again.

    Halves of surrogate pairs become U+FFFD and numbers beyond 64 bits floats, as Go's decoder reads them. What is
    nested deeper than the encoder goes (254 levels, Go: 10,000) is refused, lest it fail later.
    """
    try:
        orjson.dumps(value)
    except TypeError:
        try:
            text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            value = orjson.loads(text)
            orjson.dumps(value)
        except (RecursionError, TypeError, ValueError):
            raise DecodeError(type, "json: exceeded max depth") from None
    return value


def struct_decoder(type: StructType) -> Decoder:
    """The decoder of a struct, made once per type. It appends to its second argument where a field is unknown."""
    found: Decoder | None = type.compiled.get(_NAME)
    if found is None:
        if isinstance(type, EitherType):
            found = _either(type)
        else:
            found = _pruner(type) if type.sorted else _struct(type)
        type.compiled[_NAME] = found
    return found


def decoder(type: Type) -> Decoder:
    """The decoder of any type."""
    if isinstance(type, Leaf):
        return leaves.DECODERS[type]
    if isinstance(type, ListType):
        return _list(type)
    if isinstance(type, MapType):
        return _map(type)
    return struct_decoder(type)


def _struct(type: StructType) -> Decoder:
    slots: list[_Slot] = []
    places: dict[str, int] = {}
    needed: frozenset[str] = frozenset()

    def decode_struct(value: Any, unknown: list[bool]) -> Object:
        nonlocal slots, places, needed
        if value.__class__ is not dict:
            raise Mismatch(value)
        if not slots and type.fields:
            made = [_slot(field) for field in type.fields.values()]
            places = {slot[0]: place for place, slot in enumerate(made)}
            needed = frozenset(name for name, _, _, zero, make in made if zero is not None or make is not None)
            slots = made  # last: another thread may be here as well
        found = [places[name] for name in value if name in places]  # as in `encode`: values are sparse
        if len(found) < len(value):
            unknown.append(True)
        if not value.keys() >= needed:
            found += [places[name] for name in needed if name not in value]
        found.sort()
        get = value.get
        result: Object = {}
        for place in found:
            name, decode_field, drop, zero, make = slots[place]
            item = get(name)
            if item is None:
                if zero is not None:
                    result[name] = zero
                elif make is not None:
                    result[name] = make()
                continue
            item = decode_field(item, unknown)
            if not item and (drop or item is None):
                continue
            result[name] = item
        return result

    return decode_struct


def _slot(field: Field) -> _Slot:
    type = field.type
    decode_field = decoder(type)
    if field.pointer:
        return field.name, decode_field, False, None, None
    if isinstance(type, ListType | MapType):
        # Who writes an empty list where null would be written owns it. Storage does not keep the difference (`encode`).
        return field.name, decode_field, field.omitempty, None, None
    if isinstance(type, Leaf):
        never_empty = type in leaves.NEVER_EMPTY
        omitted = (field.omitempty and not never_empty) or type is Leaf.BYTES
        return field.name, decode_field, omitted, None if omitted else leaves.ZERO.get(type), None
    if isinstance(type, EitherType):
        return field.name, decode_field, False, None, None
    if field.omitzero:
        return field.name, decode_field, True, None, None
    return field.name, decode_field, False, None, lambda: decode_field({}, [])


def _list(type: ListType) -> Decoder:
    decode_item = decoder(type.item)
    make = zero_maker(type.item)

    def decode_strings(value: Any, _: list[bool]) -> list[Any]:
        if value.__class__ is not list:
            raise Mismatch(value)
        for item in value:
            if item.__class__ is not str:
                if item is None:
                    return ["" if item is None else leaves.string(item, _) for item in value]
                raise Mismatch(item)
        return list(value)

    def decode_list(value: Any, unknown: list[bool]) -> list[Any]:
        if value.__class__ is not list:
            raise Mismatch(value)
        return [make() if item is None else decode_item(item, unknown) for item in value]

    return decode_strings if type.item is Leaf.STRING else decode_list


def _map(type: MapType) -> Decoder:
    decode_value = decoder(type.value)
    make = zero_maker(type.value)

    def decode_map(value: Any, unknown: list[bool]) -> Object:
        if value.__class__ is not dict:
            raise Mismatch(value)
        return {key: make() if item is None else decode_value(item, unknown) for key, item in value.items()}

    return decode_map


def _either(type: EitherType) -> Decoder:
    decode_other = decoder(type.other)
    decode_as_struct = struct_decoder(type.struct)

    def decode_either(value: Any, unknown: list[bool]) -> Any:
        if value.__class__ is dict:
            return decode_as_struct(value, unknown)
        if type.other is Leaf.BOOL and value.__class__ is not bool:
            raise Malformed("boolean or JSON schema expected")
        # Anything else that is no list reads as nothing, as upstream has it.
        return decode_other(value, unknown) if value.__class__ in (list, bool) else None

    return decode_either


def zero_maker(type: Type) -> Callable[[], Any]:
    """Makes what stands for null inside a list or a map."""
    if isinstance(type, Leaf):
        zero = "" if type is Leaf.BYTES else leaves.ZERO.get(type)
        return lambda: zero
    if isinstance(type, ListType | MapType | EitherType):
        return lambda: None
    decode_zero = struct_decoder(type)
    return lambda: decode_zero({}, [])


def _pruner(type: StructType) -> Decoder:
    """Keeps known fields (all, if the struct is open) as they are, whatever their types."""

    def prune_struct(value: Any, unknown: list[bool]) -> Any:
        if value.__class__ is not dict:
            return value if type.open else _emptied(value, unknown)
        fields = type.fields
        result: Object = {}
        for name, item in value.items():
            field = fields.get(name)
            if field is not None:
                result[name] = prune(field.type, item, unknown)
                if type.embedded and name in ("apiVersion", "kind") and item.__class__ is not str:
                    raise Mismatch(item)
            elif type.open:
                result[name] = item
            else:
                unknown.append(True)
        return result

    return prune_struct


def prune(type: Type, value: Any, unknown: list[bool]) -> Any:
    """`value` of a custom resource without what its schema does not know. Types are not checked."""
    if isinstance(type, StructType):
        if value is None and type.sorted:
            return None
        return struct_decoder(type)({} if value is None else value, unknown)
    if isinstance(type, ListType) and value.__class__ is list:
        return [prune(type.item, item, unknown) for item in value]
    if isinstance(type, MapType) and value.__class__ is dict:
        return {key: prune(type.value, item, unknown) for key, item in value.items()}
    if value.__class__ is float:
        return leaves.plain_number(value)
    return value if type is Leaf.ANY else _emptied(value, unknown)


def _emptied(value: Any, unknown: list[bool]) -> Any:
    """An object or list where the schema has something else: nothing that is inside of it is known."""
    if value.__class__ is dict:
        if value:
            unknown.append(True)
        return {}
    if value.__class__ is list:
        return [_emptied(item, unknown) for item in value]
    return value
