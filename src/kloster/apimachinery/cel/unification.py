"""Which types fit which: the type checker's substitutions of type parameters, as cel-go makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import types

if TYPE_CHECKING:
    from .types import Type

Mapping = dict[str, "Type"]

_NULLABLE = {"opaque", "struct", "any", "duration", "timestamp"}


def is_dynamic(each: Type) -> bool:
    return each.kind == "dyn"


def assignable(mapping: Mapping, left: Type, right: Type) -> Mapping | None:
    """The substitutions under which the two fit, or None."""
    copy = dict(mapping)
    return copy if _fits(copy, left, right) else None


def assignable_lists(mapping: Mapping, left: list[Type], right: tuple[Type, ...]) -> Mapping | None:
    copy = dict(mapping)
    return copy if _all_fit(copy, left, right) else None


def _all_fit(mapping: Mapping, left: list[Type] | tuple[Type, ...], right: tuple[Type, ...]) -> bool:
    return len(left) == len(right) and all(_fits(mapping, a, b) for a, b in zip(left, right, strict=True))


def _fits(mapping: Mapping, left: Type, right: Type) -> bool:
    if right.kind == "parameter":
        valid, substituted = _substitutes(mapping, left, right)
        if valid or substituted:
            return valid
    if left.kind == "parameter":
        return _substitutes(mapping, right, left)[0]
    if left.kind in ("dyn", "error") or right.kind in ("dyn", "error"):
        return True
    if left.kind == "null":
        return right.kind in _NULLABLE or right.kind == "null"
    if right.kind == "null":
        return left.kind in _NULLABLE
    if left.kind == "type":
        return right.kind == "type"
    if left.kind in ("opaque", "list", "map"):
        alike = left.kind == right.kind and left.name == right.name
        return alike and _all_fit(mapping, left.parameters, right.parameters)
    return left == right


def _substitutes(mapping: Mapping, left: Type, right: Type) -> tuple[bool, bool]:
    if left == right:
        return True, True
    known = mapping.get(right.text)
    if known is not None:
        if left == known:
            return True, True
        if _fits(mapping, left, known):
            general = most_general(left, known)
            if _unreferenced(mapping, right, general):
                mapping[right.text] = general
            return True, True
        return False, True
    if _unreferenced(mapping, right, left):
        mapping[right.text] = left
        return True, False
    return False, False


def most_general(left: Type, right: Type) -> Type:
    return left if _less_specific(left, right) else right


def _less_specific(left: Type, right: Type) -> bool:
    if is_dynamic(left) or left.kind == "parameter":
        return True
    if is_dynamic(right) or right.kind == "parameter" or left.kind != right.kind:
        return False
    if left.kind in ("opaque", "list", "map"):
        return (
            left.name == right.name
            and len(left.parameters) == len(right.parameters)
            and all(_less_specific(a, b) for a, b in zip(left.parameters, right.parameters, strict=True))
        )
    return left.kind == "type" or left == right


def _unreferenced(mapping: Mapping, wanted: Type, within: Type) -> bool:
    if wanted == within:
        return False
    if within.kind == "parameter":
        known = mapping.get(within.text)
        return known is None or _unreferenced(mapping, wanted, known)
    return all(_unreferenced(mapping, wanted, each) for each in within.parameters)


def substitute(mapping: Mapping, each: Type, *, to_dynamic: bool) -> Type:
    """The type with its parameters replaced, unbound ones by `dyn` if asked."""
    known = mapping.get(each.text)
    if known is not None:
        return substitute(mapping, known, to_dynamic=to_dynamic)
    if to_dynamic and each.kind == "parameter":
        return types.DYN
    if not each.parameters:
        return each
    inner = tuple(substitute(mapping, one, to_dynamic=to_dynamic) for one in each.parameters)
    return types.Type(each.kind, each.name, inner)
