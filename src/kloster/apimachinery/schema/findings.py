"""What is wrong with a document, in upstream's words and in the document's order.

Two walks over a value that the decoder found something in: one for what cannot be decoded, one for the fields that
the type does not know. Go's decoder goes on after a value of a wrong type and reports the first of them in the end;
but a type that decodes itself (quantities, times, IntOrString) ends the decoding, and its complaint is the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from kloster.apimachinery.errors import StatusError, invalid_value
from kloster.apimachinery.schema import leaves
from kloster.apimachinery.schema.leaves import Malformed, Mismatch
from kloster.apimachinery.schema.model import EitherType, Leaf, ListType, MapType, StructType, Type


class DecodeError(StatusError):
    """A value that cannot be decoded. `text` is the bare complaint, without the object's kind and version."""

    def __init__(self, type: StructType, text: str) -> None:
        package, _, kind = type.name.rpartition(".")
        version = package.rpartition("/")[2]
        super().__init__(400, "BadRequest", f'{kind} in version "{version}" cannot be handled as a {kind}: {text}')
        self.text = text


def decode_error(type: StructType, value: Any) -> DecodeError:
    """The error for what in `value` cannot be decoded."""
    if type.sorted and value.__class__ is dict:
        return DecodeError(type, next(_check_custom(type, value, "")))
    if value.__class__ is not dict:
        return DecodeError(type, _UNMARSHAL + f"{Mismatch(value).found()} into Go value of type {go_type(type)}")
    try:
        saved = list(_check_struct(type, value, _Place(type, "")))
    except _Final as error:
        return DecodeError(type, str(error))
    if not saved:
        raise AssertionError(f"the decoder of {type.name} refused a value in which nothing is wrong")
    return DecodeError(type, saved[0])


_UNMARSHAL = "json: cannot unmarshal "
# Types without a decoder of their own: what is wrong with them does not stop Go's decoder.
_PLAIN = frozenset((Leaf.STRING, Leaf.INT32, Leaf.INT64, Leaf.FLOAT, Leaf.BOOL, Leaf.BYTES))


class _Final(Exception):
    """A type's own decoder complained: decoding ends there, and whatever was found before does not count."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where Go's decoder is: a field, by its path, of a struct.

    `opaque`: inside a type that decodes itself (JSONSchemaPropsOrBool), whose insides the decoder does not name.
    """

    struct: StructType
    path: str
    opaque: bool = False

    def inside(self, struct: StructType, name: str) -> _Place:
        return self if self.opaque else _Place(struct, f"{self.path}.{name}" if self.path else name)

    def wrong(self, mismatch: Mismatch, target: str) -> str:
        struct = self.struct.name.rpartition(".")[2]
        return f"{_UNMARSHAL}{mismatch.found()} into Go struct field {struct}.{self.path} of type {target}"


def _check_struct(type: StructType, value: Any, place: _Place) -> Iterator[str]:
    for name, item in value.items():
        field = type.fields.get(name)
        if field is not None and item is not None:
            yield from _check(field.type, item, place.inside(type, name), field.go_type)


def _check(type: Type, value: Any, place: _Place, named: str = "") -> Iterator[str]:
    """Check `value`; `named` is the Go decoder's name of its type where `type` does not tell it."""
    if isinstance(type, Leaf):
        yield from _check_leaf(type, value, place, named)
    elif isinstance(type, EitherType):
        _check_either(type, value, replace(place, opaque=True))
    elif value.__class__ is not (list if isinstance(type, ListType) else dict):
        if not (isinstance(type, StructType) and type.sorted):
            yield place.wrong(Mismatch(value), named or go_type(type))
    elif isinstance(type, StructType):
        yield from _check_struct(type, value, place)
    else:
        items: Iterable[Any] = value.values() if isinstance(value, dict) else value
        inner = type.item if isinstance(type, ListType) else type.value
        for item in items:
            if item is not None:
                yield from _check(inner, item, place, _inner_name(named))


def _check_leaf(type: Leaf, value: Any, place: _Place, named: str) -> Iterator[str]:
    try:
        leaves.DECODERS[type](value, [])
        return
    except Mismatch as error:
        text = place.wrong(error, error.target or named or go_type(type))
    except Malformed as error:
        text = str(error)
    if type not in _PLAIN:
        raise _Final(text)
    yield text


def _check_either(type: EitherType, value: Any, place: _Place) -> None:
    """Such types decode themselves, so that the first thing wrong inside ends it all."""
    if value.__class__ is dict:
        saved = _check_struct(type.struct, value, place)
    elif type.other is Leaf.BOOL and value.__class__ is not bool:
        raise _Final("boolean or JSON schema expected")
    elif value.__class__ is list:
        saved = _check(type.other, value, place)
    else:
        return
    for text in list(saved):
        raise _Final(text)


def _inner_name(named: str) -> str:
    """``[]v1.FinalizerName`` → ``v1.FinalizerName``; nothing is known about the inside of ``v1.ExtraValue``."""
    if named.startswith(("[]", "map[")):
        return named[named.index("]") + 1 :]
    return ""


def go_type(type: Type) -> str:
    if isinstance(type, Leaf):
        return leaves.GO_TYPES[type]
    if isinstance(type, ListType):
        return f"[]{go_type(type.item)}"
    if isinstance(type, MapType):
        return f"map[string]{go_type(type.value)}"
    return type.name.rpartition("/")[2]


def _check_custom(type: Type, value: Any, path: str) -> Iterator[str]:
    """What keeps a custom resource from being decoded: its metadata, or identity and metadata of objects inside."""
    if isinstance(type, ListType) and value.__class__ is list:
        for index, item in enumerate(value):
            yield from _check_custom(type.item, item, f"{path}[{index}]")
    elif isinstance(type, MapType) and value.__class__ is dict:
        for key, item in value.items():
            yield from _check_custom(type.value, item, f"{path}[{key}]")
    elif isinstance(type, StructType) and value.__class__ is dict:
        for key, item in value.items():
            field = type.fields.get(key)
            if field is None:
                continue
            place = f"{path}.{key}" if path else key
            if isinstance(field.type, StructType) and not field.type.sorted:
                yield from (f"{place}: {text}" if path else text for text in _check_metadata(field.type, item, path))
            elif type.embedded and key in ("apiVersion", "kind") and item.__class__ is not str:
                yield f"{place}: {invalid_value(place, item, 'must be a string').text}"
            else:
                yield from _check_custom(field.type, item, place)


def _check_metadata(type: StructType, value: Any, path: str) -> Iterator[str]:
    """Metadata is decoded by itself, as a Go struct; upstream shows that of objects inside."""
    if value is None or (value.__class__ is dict and not list(_first(type, value))):
        return
    text = decode_error(type, value).text
    yield invalid_value(path, value, text).text if path else text


def _first(type: StructType, value: Any) -> Iterator[str]:
    try:
        yield from _check_struct(type, value, _Place(type, ""))
    except _Final as error:
        yield str(error)


def unknown_fields(type: Type, value: Any, path: str = "") -> list[str]:
    """The fields of `value` that `type` does not know: in a custom resource those of its metadata first, those of the
    metadata of objects inside last."""
    if not (isinstance(type, StructType) and type.sorted):
        return list(_unknown(type, value, path))
    found = list(_unknown_custom(type, value, path))
    return [text for _, text in sorted(found, key=lambda each: each if each[0] else (0, ""))]


def _unknown_custom(type: Type, value: Any, path: str) -> Iterator[tuple[int, str]]:
    """(0 in the metadata, 2 in metadata inside, 1 elsewhere; the finding)."""
    if value.__class__ is list:
        inner = type.item if isinstance(type, ListType) else _open_or_empty(type)
        for index, item in enumerate(value):
            yield from _unknown_custom(inner, item, f"{path}[{index}]")
    elif value.__class__ is dict and type is not Leaf.ANY:
        for key, item in value.items():
            place = f"{path}.{key}" if path else key
            if isinstance(type, MapType):
                yield from _unknown_custom(type.value, item, place)
                continue
            field = type.fields.get(key) if isinstance(type, StructType) else None
            if field is None:
                if not (isinstance(type, StructType) and type.open):
                    yield 1, f'unknown field "{place}"'
            elif isinstance(field.type, StructType) and not field.type.sorted:
                yield from ((2 if path else 0, text) for text in _unknown(field.type, item, place))
            else:
                yield from _unknown_custom(field.type, item, place)


def _open_or_empty(type: Type) -> Type:
    """The type of items where no list belongs."""
    return Leaf.ANY if type is Leaf.ANY or (isinstance(type, StructType) and type.open) else Leaf.STRING


def _unknown(type: Type, value: Any, path: str) -> Iterator[str]:
    if isinstance(type, EitherType):
        return  # decodes itself, and not strictly
    if isinstance(type, ListType) and value.__class__ is list:
        for index, item in enumerate(value):
            yield from _unknown(type.item, item, f"{path}[{index}]")
    elif isinstance(type, MapType) and value.__class__ is dict:
        for key, item in value.items():
            yield from _unknown(type.value, item, f"{path}.{key}" if path else key)
    elif isinstance(type, StructType) and value.__class__ is dict:
        for key, item in value.items():
            place = f"{path}.{key}" if path else key
            field = type.fields.get(key)
            if field is not None:
                yield from _unknown(field.type, item, place)
            elif not type.open:
                yield f'unknown field "{place}"'
