"""The empty object of a type."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.schema import leaves
from kloster.apimachinery.schema.model import ListType, MapType, StructType, Type

_EMPTY = "apply.empty"


def zero(type: Type) -> Object:
    """The empty object of a type, as Go writes it: what a create is compared with. Never change it.

    Fields that are always written stand in it: structs (recursively), null for lists and maps. Hence the owner of
    ``spec.template.spec.containers[…]`` does not own ``containers``. Custom resources have no such fields.
    """
    if not isinstance(type, StructType) or type.sorted:
        return {}
    found: Object | None = type.compiled.get(_EMPTY)
    if found is not None:
        return found
    out: Object = {}
    for name, field in type.fields.items():
        value = _zero_value(field.type, field.pointer)
        if isinstance(field.type, StructType) and not field.pointer:
            if not field.omitzero or value:
                out[name] = value
        elif not field.omitempty and not field.omitzero:
            out[name] = value
    type.compiled[_EMPTY] = out
    return out


def _zero_value(type: Type, pointer: bool) -> Any:
    if pointer or isinstance(type, ListType | MapType):
        return None
    return zero(type) if isinstance(type, StructType) else leaves.ZERO.get(type)
