"""What is wrong with a document, in upstream's words and in the document's order.

Two walks over a value that the decoder found something in: one for the first value of a wrong type (Go's decoder
goes on after it, but reports the first), one for the fields that the type does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.schema import leaves
from kloster.apimachinery.schema.leaves import Malformed, Mismatch
from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type


class DecodeError(StatusError):
    """A value that cannot be decoded. `text` is the bare complaint, without the object's kind and version."""

    def __init__(self, type: StructType, text: str) -> None:
        package, _, kind = type.name.rpartition(".")
        version = package.rpartition("/")[2]
        super().__init__(400, "BadRequest", f'{kind} in version "{version}" cannot be handled as a {kind}: {text}')
        self.text = text


def decode_error(type: StructType, value: Any) -> DecodeError:
    """The error for the first thing in `value` that cannot be decoded."""
    try:
        _check_struct(type, value, ())
    except Malformed as error:
        return DecodeError(type, str(error))
    except _Wrong as error:
        return DecodeError(type, f"json: cannot unmarshal {error}")
    raise AssertionError(f"the decoder of {type.name} refused a value in which nothing is wrong")


class _Wrong(Exception):
    pass


def _check_struct(type: StructType, value: Any, path: tuple[str, ...]) -> None:
    if isinstance(type, EitherType) and value.__class__ is not dict:
        if type.other is Leaf.BOOL and value.__class__ is not bool:
            raise Malformed("boolean or JSON schema expected")
        if value.__class__ is list:
            _check(Field("", type.other), type.other, value, path, type.struct)
        return
    if value.__class__ is not dict:
        raise _Wrong(f"{Mismatch(value).found()} into Go value of type {go_type(type)}")
    for name, item in value.items():
        field = type.fields.get(name)
        if field is not None and item is not None:
            _check(field, field.type, item, (*path, name), type)


def _check(field: Field, type: Type, value: Any, path: tuple[str, ...], struct: StructType) -> None:
    """Check `value`, which stands at or inside `field` of `struct`."""

    def wrong(target: str, mismatch: Mismatch) -> _Wrong:
        place = f"Go struct field {struct.name.rpartition('.')[2]}.{'.'.join(path)}"
        return _Wrong(f"{mismatch.found()} into {place} of type {target}")

    if isinstance(type, Leaf):
        try:
            leaves.DECODERS[type](value, [])
        except Mismatch as error:
            raise wrong(error.target or _target(field, type), error) from None
    elif isinstance(type, ListType):
        if value.__class__ is not list:
            raise wrong(_target(field, type), Mismatch(value))
        for item in value:
            if item is not None:
                _check(field, type.item, item, path, struct)
    elif isinstance(type, MapType):
        if value.__class__ is not dict:
            raise wrong(_target(field, type), Mismatch(value))
        for item in value.values():
            if item is not None:
                _check(field, type.value, item, path, struct)
    elif value.__class__ is not dict and not isinstance(type, EitherType) and not type.sorted:
        raise wrong(_target(field, type), Mismatch(value))
    elif not type.sorted:
        _check_struct(type, value, path)


def _target(field: Field, type: Type) -> str:
    """The Go type of the field, or of the items inside it, as Go's decoder names it."""
    if not field.go_type:
        return go_type(type)
    if type is field.type:
        return field.go_type
    inner = field.go_type.removeprefix("[]").removeprefix("map[string]")
    return inner if inner != field.go_type else go_type(type)


def go_type(type: Type) -> str:
    if isinstance(type, Leaf):
        return leaves.GO_TYPES[type]
    if isinstance(type, ListType):
        return f"[]{go_type(type.item)}"
    if isinstance(type, MapType):
        return f"map[string]{go_type(type.value)}"
    return type.name.rpartition("/")[2]


def unknown_fields(type: Type, value: Any, path: str = "") -> list[str]:
    """The fields of `value` that `type` does not know."""
    return list(_unknown(type, value, path))


def _unknown(type: Type, value: Any, path: str) -> Iterator[str]:
    if isinstance(type, EitherType) and value.__class__ is not dict:
        yield from _unknown(type.other, value, path)
    elif isinstance(type, ListType) and value.__class__ is list:
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
