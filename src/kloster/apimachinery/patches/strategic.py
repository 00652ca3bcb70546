"""Strategic merge patch: a merge patch that knows from the schema which lists merge by key.

A list whose field has the strategy `merge` is merged item by item (by the merge key) or value by value; every other
list is replaced. Directives steer what data alone cannot say:

    $patch: delete | replace          in an object: drop it, or take it as it is; in an item of a list: delete the item
                                      with that key, or let the patch's items replace the list
    $retainKeys: [names]              keep only these keys of the object
    $deleteFromPrimitiveList/F: [..]  values to delete from the list F
    $setElementOrder/F: [..]          the order in which the items of F shall stand

Upstream answers a patch that it cannot carry out with a plain 500 for most mistakes; so does this module.
Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kloster.apimachinery import Object, golang
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import bad_request
from kloster.apimachinery.patches import items
from kloster.apimachinery.schema.model import Field, Leaf, ListType, MapType, StructType, Type

_PATCH = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_VALUES = "$deleteFromPrimitiveList"
_SET_ORDER = "$setElementOrder"


def apply(document: Object, patch: Object, type: StructType) -> Object:
    """`document` after `patch`. Raises StatusError (400, 422 or 500, as upstream) for a patch that makes no sense.

    What the patch leaves alone is shared with `document`, which does not change.
    """
    reached = {name.rpartition("/")[2] for name in patch}  # fields, also those that directives speak of
    copy = {name: clone(value) if name in reached else value for name, value in document.items()}
    return _merge_objects(copy, clone(patch), type)


class _Rule(NamedTuple):
    """How a field is merged: the type of its value (of its items, for a list), its strategy, its merge key."""

    type: Type
    strategy: str
    key: str


# --- the schema --------------------------------------------------------------------------------------------------


def _rule(type: Type, name: str) -> _Rule:
    if not isinstance(type, StructType):
        # Only structs have rules: an object inside a map cannot be merged.
        sort = {ListType: "slice", MapType: "map"}.get(type.__class__, "string")
        if isinstance(type, Leaf) and type in (Leaf.ANY, Leaf.RAW):
            sort = "struct" if type is Leaf.RAW else "interface"
        items.fail(f"merging an object in json but data type is not struct, instead is: {sort}")
    field = type.fields.get(name) or _folded(type, name)
    if field is None:
        struct = type.name.rpartition(".")[2]
        items.fail(f'unable to find api field in struct {struct} for the json field "{name}"')
    strategies = [strategy for strategy in field.strategies if strategy != "retainKeys"]
    return _Rule(field.type, strategies[0] if strategies else "", field.merge_key)


def _folded(type: StructType, name: str) -> Field | None:
    folded = name.casefold()
    return next((field for field in type.fields.values() if field.name.casefold() == folded), None)


def _list_rule(type: Type, name: str) -> _Rule:
    rule = _rule(type, name)
    if not isinstance(rule.type, ListType):
        items.fail("expected slice or array type, but got: struct")
    return rule._replace(type=rule.type.item)


# --- objects -----------------------------------------------------------------------------------------------------


def _merge_objects(original: Object, patch: Object, type: Type) -> Object:
    """Merges `patch` into `original`; both may be changed."""
    if _PATCH in patch:
        return _replaced(patch)
    _retain_keys(original, patch)
    for name in [name for name in patch if name.startswith(_SET_ORDER)]:
        _merge_in_order(original, patch, name, type)
    # Upstream takes the two in any order. Deleting first keeps what the patch adds.
    for name in [name for name in patch if name.startswith(_DELETE_VALUES)]:
        _delete_values(original, _target(name, _DELETE_VALUES), patch.pop(name), type)
    for name, value in patch.items():
        _merge_field(original, name, value, type)
    return original


def _replaced(patch: Object) -> Object:
    directive = patch[_PATCH]
    if directive not in ("replace", "delete"):
        items.fail_directive(directive, patch)
    del patch[_PATCH]
    return patch if directive == "replace" else {}


def _target(name: str, prefix: str) -> str:
    head, _, target = name.partition("/")
    if head == prefix and "/" in name:
        return target
    if prefix == _SET_ORDER:
        raise items.bad_order()
    raise bad_request("invalid patch format of primitive list")


def _retain_keys(original: Object, patch: Object) -> None:
    if _RETAIN_KEYS not in patch:
        return
    retained = patch.pop(_RETAIN_KEYS)
    stated = [
        name for name, value in patch.items() if value is not None and not name.startswith((_DELETE_VALUES, _SET_ORDER))
    ]
    if not isinstance(retained, list) or any(name not in retained for name in stated):
        raise bad_request("invalid patch format of retainKeys")
    for name in [name for name in original if name not in retained]:
        del original[name]


def _merge_field(original: Object, name: str, value: Any, type: Type) -> None:
    if value is None:
        original.pop(name, None)
        return
    current = original.get(name)
    if isinstance(current, dict) and isinstance(value, dict):
        rule = _rule(type, name)
        original[name] = value if rule.strategy == "replace" else _merge_objects(current, value, rule.type)
    elif isinstance(current, list) and isinstance(value, list):
        original[name] = _merge_lists(current, value, _list_rule(type, name))
    elif _is_directive(value):
        # Nothing to delete or replace.
        original.pop(name, None)
    else:
        original[name] = _without_directives(_without_nulls(value))


def _delete_values(original: Object, name: str, values: Any, type: Type) -> None:
    if values is None:
        original.pop(name, None)
    elif isinstance(original.get(name), list) and isinstance(values, list):
        rule = _list_rule(type, name)
        current = original[name]
        if current or values:
            if items.element_kind(current, values) is not dict:
                gone = items.Index(values, "")
                original[name] = [value for value in current if gone.place(value) < 0]
            else:
                original[name] = _merge_items(current, values, rule)


def _is_directive(value: Any) -> bool:
    return isinstance(value, dict) and _PATCH in value


def _without_directives(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_directives(inner) for name, inner in value.items() if not _is_directive(inner)}
    if isinstance(value, list):
        return [_without_directives(inner) for inner in value if not _is_directive(inner)]
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


# --- lists -------------------------------------------------------------------------------------------------------


def _merge_lists(original: list[Any], patch: list[Any], rule: _Rule) -> list[Any]:
    if rule.strategy != "merge":
        return patch
    if not original and not patch:
        return original
    if items.element_kind(original, patch) is dict:
        return _merge_items(original, patch, rule)
    merged = items.distinct([*original, *patch])
    return items.in_order(merged, patch, original, rule.key, objects=False)


def _merge_items(original: list[Any], patch: list[Any], rule: _Rule) -> list[Any]:
    if not rule.key:
        items.fail("cannot merge lists without merge key for struct")
    original, patch = _obey_items(original, patch, rule.key)
    merged = list(original)
    known = items.Index(merged, rule.key)
    for item in patch:
        if rule.key not in item:
            items.fail_key(item, rule.key)
        index = known.place(item)
        if index < 0:
            merged.append(item)
            known.add(item)
        else:
            merged[index] = _merge_objects(merged[index], item, rule.type)
    return items.in_order(merged, patch, original, rule.key, objects=True)


def _obey_items(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carries out the directives that stand in items; gives back both lists without them."""
    plain = []
    gone: list[Object] = []
    replace = False
    for item in patch:
        if _PATCH not in item:
            plain.append(item)
            continue
        directive = item[_PATCH]
        if directive == "delete":
            if key not in item:
                items.fail_key(item, key)
            gone.append(item)
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            items.fail("merging lists cannot yet be specified in the patch")
        else:
            items.fail_directive(directive, item)
    if gone:
        index = items.Index(gone, key)
        original = [item for item in original if key not in item or index.place(item) < 0]
    return ([], plain) if replace else (original, plain)


def _merge_in_order(original: Object, patch: Object, directive: str, type: Type) -> None:
    """Merges the list that a $setElementOrder speaks of, and puts it in order. Takes both out of the patch."""
    order = items.as_list(patch.pop(directive))
    name = _target(directive, _SET_ORDER)
    current = items.as_list(original[name]) if name in original else None
    changes = items.as_list(patch[name]) if name in patch else None
    rule = _list_rule(type, name)
    _check_order(changes or [], order, rule.key)
    if changes is None:
        if current is None:
            return
        merged = current
    elif current is None:
        merged = _without_directives(changes)
    else:
        merged = _merge_lists(current, changes, rule)
    kind = items.element_kind(current or [], changes or [])
    original[name] = items.in_order(merged, order, current or [], rule.key, objects=kind is dict)
    patch.pop(name, None)


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """The items of the patch must stand in the same order in the directive."""
    if not order or not patch:
        return
    stated = patch
    if key:
        stated = [item for item in patch if items.as_object(item).get(_PATCH) != "delete"]
    position = index = 0
    while index < len(stated) and position < len(order):
        if _is_directive(stated[index]):
            index += 1
            continue
        if _same_key(stated[index], order[position], key):
            index += 1
        position += 1
    if index < len(stated):
        listed, wanted = golang.shown(patch), golang.shown(order)
        items.fail(f"The order in patch list:\n{listed}\n doesn't match {_SET_ORDER} list:\n{wanted}\n")


def _same_key(left: Any, right: Any, key: str) -> bool:
    if not key:
        return items.equal(left, right)
    for item in (items.as_object(left), items.as_object(right)):
        if key not in item:
            items.fail_key(item, key)
    return items.equal(left[key], right[key])
