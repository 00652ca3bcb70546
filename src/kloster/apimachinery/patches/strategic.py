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

from typing import Any, NamedTuple, NoReturn

from kloster.apimachinery import Object, golang
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import StatusError, bad_request
from kloster.apimachinery.schema.model import Field, Leaf, ListType, MapType, StructType, Type

_PATCH = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_VALUES = "$deleteFromPrimitiveList"
_SET_ORDER = "$setElementOrder"


def apply(document: Object, patch: Object, type: StructType) -> Object:
    """`document` after `patch`. Raises StatusError (400, 422 or 500, as upstream) for a patch that makes no sense."""
    return _merge_objects(clone(document), clone(patch), type)


class _Rule(NamedTuple):
    """How a field is merged: the type of its value (of its items, for a list), its strategy, its merge key."""

    type: Type
    strategy: str
    key: str


# --- errors ------------------------------------------------------------------------------------------------------


def _fail(text: str) -> NoReturn:
    raise StatusError(500, "", text)


def _fail_argument(expected: str, actual: Any) -> NoReturn:
    _fail(f"expected a {expected}, but received a {golang.kind(actual) if actual is not None else '%!s(<nil>)'}")


def _fail_key(item: Object, key: str) -> NoReturn:
    _fail(f"map: {golang.shown(item)} does not contain declared merge key: {key}")


def _fail_directive(directive: Any, item: Object) -> NoReturn:
    shown = directive if isinstance(directive, str) else f"%!s({golang.kind(directive)}={golang.shown(directive)})"
    _fail(f"unknown patch type: {shown} in map: {golang.shown(item)}")


def _object(value: Any) -> Object:
    if not isinstance(value, dict):
        _fail_argument("map[string]interface {}", value)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        _fail_argument("[]interface {}", value)
    return value


def _bad_order() -> StatusError:
    return bad_request("invalid patch format of setElementOrder list")


# --- the schema --------------------------------------------------------------------------------------------------


def _rule(type: Type, name: str) -> _Rule:
    if not isinstance(type, StructType):
        # Only structs have rules: an object inside a map cannot be merged.
        sort = {ListType: "slice", MapType: "map"}.get(type.__class__, "string")
        if isinstance(type, Leaf) and type in (Leaf.ANY, Leaf.RAW):
            sort = "struct" if type is Leaf.RAW else "interface"
        _fail(f"merging an object in json but data type is not struct, instead is: {sort}")
    field = type.fields.get(name) or _folded(type, name)
    if field is None:
        struct = type.name.rpartition(".")[2]
        _fail(f'unable to find api field in struct {struct} for the json field "{name}"')
    strategies = [strategy for strategy in field.strategies if strategy != "retainKeys"]
    return _Rule(field.type, strategies[0] if strategies else "", field.merge_key)


def _folded(type: StructType, name: str) -> Field | None:
    folded = name.casefold()
    return next((field for field in type.fields.values() if field.name.casefold() == folded), None)


def _list_rule(type: Type, name: str) -> _Rule:
    rule = _rule(type, name)
    if not isinstance(rule.type, ListType):
        _fail("expected slice or array type, but got: struct")
    return rule._replace(type=rule.type.item)


# --- objects -----------------------------------------------------------------------------------------------------


def _merge_objects(original: Object, patch: Object, type: Type) -> Object:
    """Merges `patch` into `original`; both may be changed."""
    if _PATCH in patch:
        return _replaced(patch)
    _retain_keys(original, patch)
    for name in [name for name in patch if name.startswith(_SET_ORDER)]:
        _merge_in_order(original, patch, name, type)
    for name, value in patch.items():
        if name.startswith(_DELETE_VALUES):
            _delete_values(original, _target(name, _DELETE_VALUES), value, type)
        else:
            _merge_field(original, name, value, type)
    return original


def _replaced(patch: Object) -> Object:
    directive = patch[_PATCH]
    if directive == "replace":
        del patch[_PATCH]
        return patch
    if directive == "delete":
        return {}
    _fail_directive(directive, patch)


def _target(name: str, prefix: str) -> str:
    head, _, target = name.partition("/")
    if head == prefix and "/" in name:
        return target
    if prefix == _SET_ORDER:
        raise _bad_order()
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
            if _element_kind(current, values) is not dict:
                original[name] = [value for value in current if not _contains(values, value)]
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
    if _element_kind(original, patch) is dict:
        return _merge_items(original, patch, rule)
    merged = _distinct([*original, *patch])
    return _in_order(merged, patch, original, rule.key, objects=False)


def _merge_items(original: list[Any], patch: list[Any], rule: _Rule) -> list[Any]:
    if not rule.key:
        _fail("cannot merge lists without merge key for struct")
    original, patch = _obey_items(original, patch, rule.key)
    merged = list(original)
    for item in patch:
        if rule.key not in item:
            _fail_key(item, rule.key)
        index = _find(merged, rule.key, item[rule.key])
        if index is None:
            merged.append(item)
        else:
            merged[index] = _merge_objects(merged[index], item, rule.type)
    return _in_order(merged, patch, original, rule.key, objects=True)


def _obey_items(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carries out the directives that stand in items; gives back both lists without them."""
    plain = []
    replace = False
    for item in patch:
        if _PATCH not in item:
            plain.append(item)
            continue
        directive = item[_PATCH]
        if directive == "delete":
            if key not in item:
                _fail_key(item, key)
            while (index := _find(original, key, item[key])) is not None:
                original = original[:index] + original[index + 1 :]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            _fail("merging lists cannot yet be specified in the patch")
        else:
            _fail_directive(directive, item)
    return ([], plain) if replace else (original, plain)


def _merge_in_order(original: Object, patch: Object, directive: str, type: Type) -> None:
    """Merges the list that a $setElementOrder speaks of, and puts it in order. Takes both out of the patch."""
    order = _list(patch.pop(directive))
    name = _target(directive, _SET_ORDER)
    current = _list(original[name]) if name in original else None
    changes = _list(patch[name]) if name in patch else None
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
    kind = _element_kind(current or [], changes or [])
    original[name] = _in_order(merged, order, current or [], rule.key, objects=kind is dict)
    patch.pop(name, None)


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """The items of the patch must stand in the same order in the directive."""
    if not order or not patch:
        return
    items = patch
    if key:
        items = [item for item in patch if _object(item).get(_PATCH) != "delete"]
    position = index = 0
    while index < len(items) and position < len(order):
        if _is_directive(items[index]):
            index += 1
            continue
        if _same_key(items[index], order[position], key):
            index += 1
        position += 1
    if index < len(items):
        listed, wanted = golang.shown(patch), golang.shown(order)
        _fail(f"The order in patch list:\n{listed}\n doesn't match {_SET_ORDER} list:\n{wanted}\n")


def _same_key(left: Any, right: Any, key: str) -> bool:
    if not key:
        return _equal(left, right)
    for item in (_object(left), _object(right)):
        if key not in item:
            _fail_key(item, key)
    return _equal(left[key], right[key])


def _in_order(merged: list[Any], wanted: list[Any], live: list[Any], key: str, *, objects: bool) -> list[Any]:
    """Items that `wanted` names come in its order, the others in that of the live list, interleaved by it."""
    named: list[Any] = []
    others: list[Any] = []
    for item in merged:
        if key:
            if key not in _object(item):
                _fail_key(item, key)
            known = _find(wanted, key, item[key]) is not None
        else:
            known = _contains(wanted, item)
        (named if known else others).append(item)
    if objects:
        for item in (*named, *wanted, *others, *live):
            if key not in _object(item):
                _fail_key(item, key)
    named.sort(key=lambda item: _position(wanted, item, key, objects))
    others.sort(key=lambda item: _position(live, item, key, objects))
    return _interleaved(others, named, live, key, objects)


def _interleaved(left: list[Any], right: list[Any], live: list[Any], key: str, objects: bool) -> list[Any]:
    """Both lists in one, each in its order. An item of `left` goes before one of `right` if it does so in `live`."""
    out = []
    i = j = 0
    while i < len(left) and j < len(right):
        ours, theirs = _position(live, left[i], key, objects), _position(live, right[j], key, objects)
        if 0 <= ours < theirs:
            out.append(left[i])
            i += 1
        else:
            out.append(right[j])
            j += 1
    return [*out, *left[i:], *right[j:]]


def _position(items: list[Any], item: Any, key: str, objects: bool) -> int:
    """The index of an item, by key or by value, or -1."""
    for index, other in enumerate(items):
        if objects:
            if _equal(item.get(key), other.get(key) if isinstance(other, dict) else None):
                return index
        elif _equal(item, other):
            return index
    return -1


def _find(items: list[Any], key: str, value: Any) -> int | None:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            _fail(f"value for key {index} is not a map")
        if key in item and _equal(item[key], value):
            return index
    return None


def _element_kind(*lists: list[Any]) -> type:
    """The one type that all elements have."""
    kinds = [element.__class__ for elements in lists for element in elements]
    if not kinds:
        _fail("no elements in any of the given slices")
    if kinds[0] is list:
        text = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", text, details={})
    if any(kind is not kinds[0] for kind in kinds):
        _fail(f"list element types are not identical: {golang.shown(list(lists))}")
    kind: type = kinds[0]
    return kind


def _distinct(values: list[Any]) -> list[Any]:
    out: list[Any] = []
    for value in values:
        if not _contains(out, value):
            out.append(value)
    return out


def _contains(values: list[Any], value: Any) -> bool:
    return any(_equal(other, value) for other in values)


def _equal(left: Any, right: Any) -> bool:
    """Equality as Go's: true is not 1."""
    return left.__class__ is right.__class__ and bool(left == right)
