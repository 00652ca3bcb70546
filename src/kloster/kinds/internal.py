"""Values as upstream shows them in some errors: in the shape of its internal types.

Internal types have no JSON names, so that fields appear under their Go names, and none is left out. Only errors that
show a whole struct are affected; the shapes of those structs stand beside the kinds that need them:

    {"driverName": "", ...}   a struct: JSON name → zero value or nested shape, in the order of the Go type
    Pointer({...})            a pointer to a struct: null when absent
    [{...}]                   a list of structs: null when absent
    []                        a list of plain values
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_ACRONYMS = {"api": "API", "cel": "CEL", "uid": "UID"}


@dataclass(frozen=True, slots=True)
class Pointer:
    """A struct behind a pointer."""

    shape: dict[str, Any]


def shown(value: Any, shape: Any) -> Any:
    """`value` (as it stands in JSON) in the internal shape."""
    if isinstance(shape, Pointer):
        return None if value is None else shown(value, shape.shape)
    if isinstance(shape, list):
        if value is None:
            return None
        return [shown(item, shape[0]) for item in value] if shape else value
    if isinstance(shape, dict):
        given = value or {}
        return {_go_name(name): shown(given.get(name), inner) for name, inner in shape.items()}
    return shape if value is None else value


def _go_name(name: str) -> str:
    for prefix, acronym in _ACRONYMS.items():
        if name == prefix or (name.startswith(prefix) and name[len(prefix)].isupper()):
            return acronym + name[len(prefix) :]
    return name[:1].upper() + name[1:]
