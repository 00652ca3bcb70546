"""Encoding: the canonical order and form of an object, and its JSON text as Go's encoder writes it.

The model. An object in memory may lack what Go writes anyhow, hold what Go leaves out, and have its keys in any
order: `order` makes the object that upstream would write. Structs stand in their declared order and are never left
out by omitempty, maps have sorted keys, an absent list without omitempty is null. Custom resources (`sorted`) are
maps to Go: all their keys are sorted.

The text has Go's escapes: ``<``, ``>``, ``&`` and the line separators U+2028 and U+2029 as \\u sequences.

`split` makes what a store keeps (`kloster.stores.api.Entry`): JSON around the place of the resourceVersion, without
apiVersion and kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.schema import leaves
from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type

Encoder = Callable[[Any], Any]
# (name, encoder or None for values that stay, an empty value is left out, left out when absent,
#  empty is null, constant zero, maker of a zero struct)
_Slot = tuple[str, Encoder | None, bool, bool, bool, Any, Callable[[], Any] | None]
_NAME = "encode"
_BEFORE_VERSION = ("name", "generateName", "namespace", "selfLink", "uid")


def order(type: StructType, object: Object) -> Object:
    """A new object with the known fields of `object` in canonical order and form."""
    ordered: Object = struct_encoder(type)(object)
    return ordered


def dumps(type: StructType, object: Object) -> bytes:
    """The JSON of an answer."""
    if type.sorted:
        names = dict.fromkeys(("apiVersion", "kind", "metadata", *sorted(object)))
        members = (text(name) + b":" + _sorted_text(object[name]) for name in names if name in object)
        return b"{" + b",".join(members) + b"}"
    return text(order(type, object))


def split(type: StructType, object: Object) -> tuple[bytes, bytes]:
    """(head, tail): the JSON without apiVersion and kind, around the value of metadata.resourceVersion.

    ``{"kind":"K","apiVersion":"V",`` + head + resourceVersion + tail is the whole object.
    """
    return canonical(type, object)[:2]


class Canonical(NamedTuple):
    """What `split` gives, and the object that decoding it would give: without kind and apiVersion, with an empty
    resourceVersion. None for custom resources, whose maps stand in another order then.
    """

    head: bytes
    tail: bytes
    object: Object | None


def canonical(type: StructType, object: Object, settled: Object | None = None) -> Canonical:
    """`settled` is an object in canonical form: fields whose very values it has need not be brought into that form."""
    write = _sorted_text if type.sorted else text
    ordered = dict(object) if type.sorted else _ordered(type, object, settled)
    ordered.pop("kind", None)
    ordered.pop("apiVersion", None)
    metadata: Object = ordered.pop("metadata", None) or {}
    if type.sorted:
        before = {name: value for name, value in metadata.items() if name < "resourceVersion"}
    else:
        before = {name: metadata[name] for name in _BEFORE_VERSION if name in metadata}
    after = {name: value for name, value in metadata.items() if name not in before and name != "resourceVersion"}
    return Canonical(
        b'"metadata":' + (write(before)[:-1] + b"," if before else b"{") + b'"resourceVersion":"',
        b'"' + _rest(write, after) + _rest(write, ordered),
        None if type.sorted else {"metadata": {**before, "resourceVersion": "", **after}, **ordered},
    )


def _ordered(type: StructType, object: Object, settled: Object | None) -> Object:
    """As `order`, without looking into what is settled."""
    same = {} if settled is None else {name: value for name, value in object.items() if settled.get(name) is value}
    same.pop("metadata", None)
    if not same:
        return order(type, object)
    found = {**order(type, {name: value for name, value in object.items() if name not in same}), **same}
    return {name: found[name] for name in type.fields if name in found}


def _rest(write: Callable[[Any], bytes], object: Object) -> bytes:
    """The rest of an object that has begun."""
    return b"," + write(object)[1:] if object else b"}"


def text(value: Any) -> bytes:
    """JSON as Go's encoder writes it, in the order of the keys."""
    return _escaped(orjson.dumps(value))


def _sorted_text(value: Any) -> bytes:
    """JSON as Go's encoder writes maps."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if b".0" in data:  # perhaps a float without a fraction, which Go writes without one
        data = orjson.dumps(_sorted(value))
    return _escaped(data)


def _escaped(data: bytes) -> bytes:
    if b"<" in data or b">" in data or b"&" in data or b"\xe2\x80" in data:
        data = (
            data.replace(b"<", b"\\u003c")
            .replace(b">", b"\\u003e")
            .replace(b"&", b"\\u0026")
            .replace(b"\xe2\x80\xa8", b"\\u2028")
            .replace(b"\xe2\x80\xa9", b"\\u2029")
        )
    return data


def _sorted(value: Any) -> Any:
    """A copy with sorted keys throughout."""
    if value.__class__ is dict:
        return {key: _sorted(value[key]) for key in sorted(value)}
    if value.__class__ is list:
        return [_sorted(item) for item in value]
    return leaves.plain_number(value) if value.__class__ is float else value


def struct_encoder(type: StructType) -> Encoder:
    """Makes the canonical form of a struct; made once per type."""
    found: Encoder | None = type.compiled.get(_NAME)
    if found is None:
        if isinstance(type, EitherType):
            found = _either(type)
        else:
            found = _sorted if type.sorted else _struct(type)
        type.compiled[_NAME] = found
    return found


def encoder(type: Type) -> Encoder | None:
    """Makes the canonical form of a value that is not null; None where that is the value itself."""
    if isinstance(type, Leaf):
        return _float if type is Leaf.FLOAT else None
    if isinstance(type, ListType):
        return _list(type)
    if isinstance(type, MapType):
        return _map(type)
    return struct_encoder(type)


def _float(value: Any) -> Any:
    return leaves.plain_number(value) if value.__class__ is float else value


def _struct(type: StructType) -> Encoder:
    slots: list[_Slot] = []
    places: dict[str, int] = {}
    needed: frozenset[str] = frozenset()

    def encode_struct(value: Any) -> Object:
        nonlocal slots, places, needed
        if not slots and type.fields:
            made = [_slot(field) for field in type.fields.values()]
            places = {slot[0]: place for place, slot in enumerate(made)}
            needed = frozenset(slot[0] for slot in made if not slot[3])
            slots = made  # last: another thread may be here as well
        # Most structs have many more fields than a value has: what is there is put in order, instead of asking for
        # each field whether it is there. A value that is in order already, which is the rule, sorts in one pass.
        found = [places[name] for name in value if name in places]
        if not value.keys() >= needed:
            found += [places[name] for name in needed if name not in value]
        found.sort()
        get = value.get
        result: Object = {}
        for place in found:
            name, encode_field, drop, absent, null, zero, make = slots[place]
            item = get(name)
            if item is None:
                if not absent:
                    result[name] = zero if make is None else make()
                continue
            if not item and (drop or null):
                if null and not drop:
                    result[name] = None
                continue
            result[name] = item if encode_field is None else encode_field(item)
        return result

    return encode_struct


def _slot(field: Field) -> _Slot:
    type = field.type
    encode_field = encoder(type)
    if field.pointer:
        return field.name, encode_field, False, field.omitempty, False, None, None
    if isinstance(type, ListType | MapType) or type is Leaf.BYTES:
        return field.name, encode_field, field.omitempty, field.omitempty, True, None, None
    if isinstance(type, Leaf):
        drop = field.omitempty and type not in leaves.NEVER_EMPTY
        return field.name, encode_field, drop, drop or field.omitzero, False, leaves.ZERO.get(type), None
    if isinstance(type, EitherType):
        return field.name, encode_field, False, field.omitempty, False, None, None
    assert encode_field is not None
    return field.name, encode_field, False, field.omitzero, False, None, lambda: encode_field({})


def _list(type: ListType) -> Encoder | None:
    encode_item = encoder(type.item)
    if encode_item is None:
        return None
    return lambda value: [None if item is None else encode_item(item) for item in value]


def _map(type: MapType) -> Encoder:
    encode_value = encoder(type.value)
    if encode_value is None:
        return lambda value: {key: value[key] for key in sorted(value)}
    return lambda value: {key: None if value[key] is None else encode_value(value[key]) for key in sorted(value)}


def _either(type: EitherType) -> Encoder:
    encode_other = encoder(type.other)
    encode_as_struct = struct_encoder(type.struct)

    def encode_either(value: Any) -> Any:
        if value.__class__ is dict:
            return encode_as_struct(value)
        return value if encode_other is None else encode_other(value)

    return encode_either
