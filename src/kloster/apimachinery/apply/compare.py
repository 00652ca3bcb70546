"""What changed between two values of a type, as three sets of paths: removed, modified, added."""

from __future__ import annotations

from typing import Any, NamedTuple

from kloster.apimachinery.apply.fieldset import SELF, FieldSet
from kloster.apimachinery.apply.typed import ABSENT, by_step, deduce, is_leaf, plan, whole
from kloster.apimachinery.schema.model import Leaf, ListType, MapType, StructType, Type


class Comparison(NamedTuple):
    """The paths that only the old value has, that both have with different values, that only the new one has."""

    removed: FieldSet
    modified: FieldSet
    added: FieldSet


class _Changes:
    """The comparison of one place: subtrees, None for none; ``{}`` says that the place itself is in the set."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.removed: FieldSet | None = None
        self.modified: FieldSet | None = None
        self.added: FieldSet | None = None

    def take(self, step: str, old: Any, new: Any, type: Type) -> None:
        """Adds the changes at `step`; the two values differ."""
        if old is ABSENT:
            self.added = _put(self.added, step, whole(new, type))
        elif new is ABSENT:
            self.removed = _put(self.removed, step, whole(old, type))
        else:
            below = _changes(old, new, type)
            if below.removed is not None:
                self.removed = _put(self.removed, step, below.removed)
            if below.modified is not None:
                self.modified = _put(self.modified, step, below.modified)
            if below.added is not None:
                self.added = _put(self.added, step, below.added)


def _put(tree: FieldSet | None, step: str, below: FieldSet) -> FieldSet:
    if tree is None:
        return {step: below}
    tree[step] = below
    return tree


def compare(old: Any, new: Any, type: Type, skip: frozenset[str] = frozenset()) -> Comparison:
    """Compares two objects of a struct type. Fields named in `skip` are not looked at. Raises ItemError."""
    changes = _Changes()
    type = deduce(type, old, new)
    if isinstance(type, StructType | MapType):
        _fields(changes, old, new, type, skip)
    return Comparison(changes.removed or {}, changes.modified or {}, changes.added or {})


def _changes(old: Any, new: Any, type: Type) -> _Changes:
    changes = _Changes()
    if type is Leaf.ANY and None not in (old, new) and isinstance(old, dict) != isinstance(new, dict):
        # A scalar became an object, or the other way round: the place changed, and so did what was below.
        changes.modified = {}
        changes.removed = _below(old)
        changes.added = _below(new)
        return changes
    type = deduce(type, old, new)
    if is_leaf(type) or not (old or new):
        # Two empty values of a list or map differ only as null and empty do: that is a change of the place itself.
        changes.modified = {}
    elif isinstance(type, ListType):
        _items(changes, _as(list, old), _as(list, new), type)
    elif isinstance(type, StructType | MapType):
        _fields(changes, _as(dict, old) or {}, _as(dict, new) or {}, type)
    return changes


def _below(value: Any) -> FieldSet | None:
    if not isinstance(value, dict):
        return None
    return {step: inner for step, inner in whole(value, Leaf.ANY).items() if step != SELF} or None


def _as(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else None


def _fields(
    changes: _Changes,
    old: dict[str, Any],
    new: dict[str, Any],
    type: StructType | MapType,
    skip: frozenset[str] = frozenset(),
) -> None:
    if isinstance(type, MapType):
        for name in {**old, **new}:
            before, after = old.get(name, ABSENT), new.get(name, ABSENT)
            if before is ABSENT or before != after:
                changes.take("f:" + name, before, after, type.value)
        return
    known = plan(type)
    for name, after in new.items():
        before = old.get(name, ABSENT)
        if (before is ABSENT or before != after) and name not in skip:
            step, inner, nullable = known.fields.get(name) or ("f:" + name, known.other, False)
            if before is ABSENT and nullable:
                before = None
                if after is None:
                    continue
            changes.take(step, before, after, inner)
    for name, before in old.items():
        if name not in new and name not in skip:
            step, inner, nullable = known.fields.get(name) or ("f:" + name, known.other, False)
            if not nullable:
                changes.take(step, before, ABSENT, inner)
            elif before is not None:
                changes.take(step, before, None, inner)


def _items(changes: _Changes, old: list[Any] | None, new: list[Any] | None, type: ListType) -> None:
    before, after = by_step(type, old), by_step(type, new)
    for step, news in after.items():
        olds = before.get(step, ())
        if len(olds) <= 1 and len(news) == 1:
            if not olds or olds[0] != news[0]:
                changes.take(step, olds[0] if olds else ABSENT, news[0], type.item)
        elif len(olds) > 1 and len(news) > 1:
            if olds != news:
                changes.modified = _put(changes.modified, step, {})
        elif len(olds) > 1:
            changes.take(step, ABSENT, news[0], type.item)
            changes.removed = _put(changes.removed, step, {})
        else:
            if olds:
                changes.take(step, olds[0], ABSENT, type.item)
            changes.added = _put(changes.added, step, {})
    for step, olds in before.items():
        if step not in after:
            if len(olds) > 1:
                changes.removed = _put(changes.removed, step, {})
            else:
                changes.take(step, olds[0], ABSENT, type.item)
