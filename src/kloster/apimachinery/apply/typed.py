"""What a schema graph means for ownership: how a value of a type divides into owned paths.

    a leaf, an atomic list, map or struct     is owned as a whole
    a struct or map                           is owned field by field
    a list of type map or set                 is owned item by item; an item is known by its keys or its value
    a value without a type (`Leaf.ANY`)       is owned by what it turns out to be: objects field by field, lists as
                                              a whole

`fieldset_of` is the set that a manager owns who *applies* a value; `whole` is the set that one owns who *adds* it.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kloster.apimachinery.apply.fieldset import SELF, FieldSet, key_step, quoted, scalar, value_step
from kloster.apimachinery.schema.model import EitherType, Field, Leaf, ListType, MapType, StructType, Type

ABSENT: Any = object()
"""Stands for a value that is not there, which null is not."""


class ItemError(ValueError):
    """A list of type map or set has an item that no step leads to."""


def is_leaf(type: Type) -> bool:
    """Whether values of the type are owned as a whole."""
    if isinstance(type, StructType | MapType):
        return type.atomic
    if isinstance(type, ListType):
        return type.kind == "atomic"
    return type is not Leaf.ANY


def deduce(type: Type, *values: Any) -> Type:
    """The type by which to treat values: `type`, unless it says nothing."""
    if type is Leaf.ANY:
        return (
            DEDUCED if all(value is ABSENT or value is None or isinstance(value, dict) for value in values) else _ATOM
        )
    return type


DEDUCED = MapType(Leaf.ANY)
_ATOM = Leaf.RAW


class Plan:
    """What the walkers need to know about a struct, prepared once.

    fields   JSON name → (its step, its type, whether it is written as null when it has no value)
    nulls    the (name, step) of those that are: where they are absent from an object, null is meant
    other    the type of undeclared fields
    """

    __slots__ = ("fields", "nulls", "other")

    def __init__(self, type: StructType) -> None:
        self.other = Leaf.ANY
        nulls = not type.sorted
        self.fields = {
            name: ("f:" + name, _known(type, field), nulls and _nullable(field)) for name, field in type.fields.items()
        }
        self.nulls = tuple((name, step) for name, (step, _, nullable) in self.fields.items() if nullable)


_GRANULAR = frozenset({("api/core/v1.PersistentVolumeSpec", "claimRef")})
"""Fields that are owned field by field though their type is atomic elsewhere."""


def _known(struct: StructType, field: Field) -> Type:
    type = field.type
    if isinstance(type, EitherType):
        return Leaf.ANY
    if isinstance(type, StructType) and (struct.name, field.name) in _GRANULAR:
        granular = StructType(type.name)
        granular.fields = type.fields
        return granular
    return type


def _nullable(field: Field) -> bool:
    """Whether Go writes the field as null when it has no value: no omitempty, or a time, which knows no empty."""
    if field.type in (Leaf.TIME, Leaf.MICRO_TIME) and not field.pointer:
        return not field.omitzero
    nilable = field.pointer or isinstance(field.type, ListType | MapType) or field.type is Leaf.BYTES
    return nilable and not field.omitempty and not field.omitzero


_PLAN = "apply"


def plan(type: StructType) -> Plan:
    found: Plan | None = type.compiled.get(_PLAN)
    if found is None:
        found = type.compiled[_PLAN] = Plan(type)
    return found


def field_type(type: StructType | MapType, name: str) -> Type:
    """The type of a field, or of a map's values."""
    if isinstance(type, MapType):
        return type.value
    known = plan(type)
    field = known.fields.get(name)
    return field[1] if field else known.other


# --- steps -------------------------------------------------------------------------------------------------------


def stepper(type: ListType) -> Callable[[Any], str]:
    """The function from an item of such a list to the step that leads to it. It raises ItemError."""
    found: Callable[[Any], str] | None = type.compiled.get(_PLAN)
    if found is None:
        found = type.compiled[_PLAN] = _stepper(type) if type.keys else _set_step
    return found


def _stepper(type: ListType) -> Callable[[Any], str]:
    keys = [(name, _key_default(type.item, name)) for name in sorted(type.keys)]
    if len(keys) == 1:
        return _single_key_step(type, keys[0][0], keys[0][1])

    def step(value: Any) -> str:
        _check_item(value)
        found = [(name, value.get(name, default)) for name, default in keys if name in value or default is not None]
        if not found:
            raise _no_keys(type)
        return key_step(iter(found))

    return step


_KEY_DEFAULTS = {
    ("api/core/v1.ContainerPort", "protocol"): "TCP",
    ("api/core/v1.ServicePort", "protocol"): "TCP",
    ("api/core/v1.LocalObjectReference", "name"): "",
}
_ZERO = {Leaf.STRING: "", Leaf.INT32: 0, Leaf.INT64: 0, Leaf.BOOL: False}


def _key_default(item: Type, name: str) -> Any:
    """What a key is taken to be where an item lacks it: OpenAPI's default, which for fields of built-in types that are
    always written is their zero value."""
    if not isinstance(item, StructType) or name not in item.fields:
        return None
    field = item.fields[name]
    if field.default is not None or item.sorted:
        return field.default
    if field.omitempty or field.pointer:
        return _KEY_DEFAULTS.get((item.name, name))
    return _ZERO.get(field.type) if isinstance(field.type, Leaf) else None


def _single_key_step(type: ListType, name: str, default: Any) -> Callable[[Any], str]:
    prefix = f"k:{{{quoted(name)}:"

    def step(value: Any) -> str:
        if not isinstance(value, dict):
            _check_item(value)
        key = value.get(name, ABSENT)
        if key is ABSENT:
            if default is None:
                raise _no_keys(type)
            key = default
        return f"{prefix}{quoted(key) if isinstance(key, str) else scalar(key)}}}"

    return step


def _check_item(value: Any) -> None:
    if value is None:
        raise ItemError("associative list with keys may not have a null element")
    if not isinstance(value, dict):
        raise ItemError("associative list with keys may not have non-map elements")


def _no_keys(type: ListType) -> ItemError:
    keys = " ".join(f'"{key}"' for key in type.keys)
    return ItemError(
        f"associative list with keys has an element that omits all key fields [{keys}]"
        " (and doesn't have default values for any key fields)"
    )


def _set_step(value: Any) -> str:
    if isinstance(value, dict):
        raise ItemError("associative list without keys has an element that's a map type")
    if isinstance(value, list):
        raise ItemError("not supported: associative list with lists as elements")
    if value is None:
        raise ItemError("associative list without keys has an element that's an explicit null")
    return value_step(value)


def by_step(type: ListType, items: list[Any] | None) -> dict[str, list[Any]]:
    """The items of a list by their steps. Lists may hold the same item twice: what is stored is not always valid."""
    step = stepper(type)
    found: dict[str, list[Any]] = {}
    for item in items or ():
        key = step(item)
        if key in found:
            found[key].append(item)
        else:
            found[key] = [item]
    return found


# --- sets --------------------------------------------------------------------------------------------------------


def fieldset_of(value: Any, type: Type) -> FieldSet:
    """The paths that whoever applies `value` owns: leaves, items, and the keys of maps that are no structs."""
    return _applied(value, type) or {}


def _applied(value: Any, type: Type) -> FieldSet | None:
    """None: nothing is owned below, nor the place itself (unless its parent says so)."""
    type = deduce(type, value)
    if is_leaf(type):
        return {}
    out: FieldSet = {}
    if isinstance(type, ListType):
        for step, items in by_step(type, value if isinstance(value, list) else None).items():
            out[step] = {} if len(items) > 1 else with_self(_applied(items[0], type.item))
    elif not isinstance(value, dict):
        return None
    elif isinstance(type, MapType):
        for name, inner in value.items():
            out["f:" + name] = with_self(_applied(inner, type.value))
    elif isinstance(type, StructType):
        known = plan(type)
        for name, inner in value.items():
            field = known.fields.get(name)
            below = _applied(inner, field[1] if field else known.other)
            if field is None or inner is None or inner == {}:
                below = with_self(below)
            if below is not None:
                out["f:" + name] = below
    return out or None


def with_self(below: FieldSet | None) -> FieldSet:
    """The subtree with its own place as a member."""
    return {} if not below else below if SELF in below else {SELF: {}, **below}


def whole(value: Any, type: Type) -> FieldSet:
    """The subtree of a value that was added or removed as a whole: every place in it is a member."""
    type = deduce(type, value)
    if is_leaf(type):
        return {}
    out: FieldSet = {SELF: {}}
    if isinstance(type, ListType):
        for step, items in by_step(type, value).items():
            out[step] = {} if len(items) > 1 else whole(items[0], type.item)
    elif not isinstance(value, dict):
        return {}
    elif isinstance(type, MapType):
        for name, inner in value.items():
            out["f:" + name] = whole(inner, type.value)
    elif isinstance(type, StructType):
        known = plan(type)
        fields, other = known.fields, known.other
        for name, inner in value.items():
            field = fields.get(name)
            if field is None:
                out["f:" + name] = whole(inner, other)
            elif isinstance(field[1], Leaf) and field[1] is not Leaf.ANY:
                out[field[0]] = {}
            else:
                out[field[0]] = whole(inner, field[1])
        for name, step in known.nulls:
            if name not in value:
                out[step] = {}
    return out if len(out) > 1 else {}


def with_named_fields(tree: FieldSet, type: Type) -> FieldSet:
    """The set with every struct's field on the way to a member made a member: what holds an owned field is kept."""
    out: FieldSet = {}
    for step, below in tree.items():
        if step == SELF or not below:
            out[step] = below
            continue
        inner, named = _below(step, type)
        deeper = with_named_fields(below, inner)
        out[step] = {SELF: {}, **deeper} if named and SELF not in deeper else deeper
    return out


def reconciled(tree: FieldSet, type: Type) -> FieldSet:
    """The set as of a newer schema: what has become owned as a whole since is owned as a whole, not by its parts."""
    out = tree
    for step, below in tree.items():
        if step == SELF or not below:
            continue
        inner, _ = _below(step, type)
        whole_now = is_leaf(inner) and not isinstance(inner, Leaf)
        settled = {} if whole_now else reconciled(below, inner)
        if settled is not below:
            if out is tree:
                out = dict(tree)
            out[step] = settled
    return out


def _below(step: str, type: Type) -> tuple[Type, bool]:
    """The type behind a step, and whether the step is a declared field."""
    if step.startswith("f:"):
        if isinstance(type, MapType):
            return type.value, False
        if isinstance(type, StructType) and not isinstance(type, EitherType):
            known = plan(type)
            field = known.fields.get(step[2:])
            return (field[1], True) if field else (known.other, False)
    elif step.startswith("k:") and isinstance(type, ListType):
        return type.item, False
    return Leaf.ANY, False
