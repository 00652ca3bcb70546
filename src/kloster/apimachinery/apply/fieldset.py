"""Sets of paths in an object, kept in the very form in which they are stored: FieldsV1.

A set is a tree of dictionaries. A key is one step of a path, written as FieldsV1 writes it:

    f:NAME        a field of a struct, or a key of a map
    k:{KEYS}      the item of a list of type map that has these keys, as compact JSON with sorted names
    v:VALUE       the item of a list of type set, as JSON
    i:INDEX       the item at an index

The dictionary below a key says what belongs to the set there: ``{}`` is the path itself and nothing below it;
otherwise the path itself belongs to the set if there is a member ``.``, and the other keys lead deeper. So a set costs
nothing to read from an object and nothing to write back, if the order of its keys is kept (`ordered`).

Trees are shared between sets: they are never changed once another function has seen them.
Source: https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/#fieldsv1-v1-meta
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

FieldSet = dict[str, Any]
"""A tree as the module describes. ``{}`` as a whole is the empty set: an object as a whole is never a member."""

SELF = "."
_MEMBER: FieldSet = {}
_ESCAPED = re.compile('[\x00-\x1f<>&\u2028\u2029"\\\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or f"\\u{ord(character):04x}"


def quoted(text: str) -> str:
    """`text` as Go writes a JSON string: with ``<``, ``>`` and ``&`` escaped as well."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def scalar(value: Any) -> str:
    """A scalar as compact JSON."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def key_step(fields: Iterator[tuple[str, Any]]) -> str:
    """The step to the item of a list of type map. `fields` come sorted by name."""
    return "k:{" + ",".join(f"{quoted(name)}:{scalar(value)}" for name, value in fields) + "}"


def value_step(value: Any) -> str:
    """The step to the item of a list of type set."""
    return f"v:{scalar(value)}"


# --- algebra -----------------------------------------------------------------------------------------------------


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths that are in one of the two sets. Gives back `left` itself where `right` adds nothing."""
    out = left
    for step, theirs in right.items():
        ours = left.get(step)
        joined = theirs if ours is None else ours if ours is theirs else _union_below(ours, theirs)
        if joined is not ours:
            if out is left:
                out = dict(left)
            out[step] = joined
    return out


def _union_below(ours: FieldSet, theirs: FieldSet) -> FieldSet:
    if not theirs:
        return ours if not ours or SELF in ours else {SELF: {}, **ours}
    if not ours:
        return theirs if SELF in theirs else {SELF: {}, **theirs}
    return union(ours, theirs)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths of `left` that are not in `right`, each path by itself. Gives back `left` if nothing falls away."""
    return _subtract(left, right, _difference_below)


def _difference_below(ours: FieldSet, theirs: FieldSet) -> FieldSet | None:
    """What is left of a subtree, None if nothing."""
    removed = not theirs or SELF in theirs
    if not ours:
        return None if removed else ours
    rest = difference(ours, theirs)
    if removed and SELF in rest:
        rest = {step: below for step, below in rest.items() if step != SELF}
    if not rest:
        return None
    return _MEMBER if len(rest) == 1 and SELF in rest else rest


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """As `difference`, but a path of `right` removes everything below it from `left` as well."""
    return _subtract(left, right, _recursive_difference_below)


def _recursive_difference_below(ours: FieldSet, theirs: FieldSet) -> FieldSet | None:
    if not theirs or SELF in theirs:
        return None
    if not ours:
        return ours
    rest = recursive_difference(ours, theirs)
    if not rest:
        return None
    return _MEMBER if len(rest) == 1 and SELF in rest else rest


def _subtract(left: FieldSet, right: FieldSet, below: Callable[[FieldSet, FieldSet], FieldSet | None]) -> FieldSet:
    """`left` without what `below` takes from the subtrees that both have. Copies no more than what changes."""
    out = left
    for step, theirs in right.items():
        ours = left.get(step)
        if ours is None or step == SELF:
            continue
        rest = below(ours, theirs)
        if rest is not ours:
            if out is left:
                out = dict(left)
            if rest is None:
                del out[step]
            else:
                out[step] = rest
    return out


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths that are in both sets."""
    small, large = (left, right) if len(left) <= len(right) else (right, left)
    out: FieldSet = {}
    for step, ours in small.items():
        theirs = large.get(step)
        if theirs is None or step == SELF:
            continue
        member = is_member(ours) and is_member(theirs)
        below = intersection(ours, theirs)
        if below:
            out[step] = {SELF: {}, **below} if member else below
        elif member:
            out[step] = _MEMBER
    return out


def include(tree: FieldSet, pattern: FieldSet) -> FieldSet:
    """The part of `tree` that `pattern` lets through. In a pattern a step ``*`` stands for every step, and ``{}`` for
    everything below; the paths on the way to it pass as well, if they are members."""
    out: FieldSet = {}
    for step, below in tree.items():
        rest = pattern.get("*", pattern.get(step))
        if rest is None or step == SELF:
            continue
        if not rest:
            out[step] = below
            continue
        inner = include(below, rest)
        if inner:
            out[step] = {SELF: {}, **inner} if is_member(below) else inner
        elif is_member(below):
            out[step] = _MEMBER
    return out


# --- questions ---------------------------------------------------------------------------------------------------


def is_member(below: FieldSet) -> bool:
    """Whether the path that leads to this subtree belongs to the set itself."""
    return not below or SELF in below


def paths(tree: FieldSet) -> Iterator[tuple[str, ...]]:
    """All paths, in upstream's order: the members of a level first, then what is below each."""
    steps = [(step, below) for step, below in ordered(tree).items() if step != SELF]
    for step, below in steps:
        if is_member(below):
            yield (step,)
    for step, below in steps:
        for rest in paths(below):
            yield (step, *rest)


def from_paths(*members: tuple[str, ...]) -> FieldSet:
    """The set of these paths."""
    tree: FieldSet = {}
    for path in members:
        single: FieldSet = {}
        for step in reversed(path):
            single = {step: single}
        tree = union(tree, single)
    return tree


def shown(path: tuple[str, ...]) -> str:
    """A path as messages show it: ``.spec.containers[name="a"].image``."""
    return "".join(_shown_step(step) for step in path)


def _shown_step(step: str) -> str:
    sort, text = step[:2], step[2:]
    if sort == "f:":
        return f".{text}"
    if sort == "k:":
        return "[" + ",".join(f"{name}={_shown_value(value)}" for name, value in json.loads(text).items()) + "]"
    if sort == "v:":
        return f"[={_shown_value(json.loads(text))}]"
    return f"[{text}]"


def _shown_value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- order and reading -------------------------------------------------------------------------------------------


def ordered(tree: FieldSet) -> FieldSet:
    """The same set with its keys in upstream's order, at every level. Subtrees that are in order are shared."""
    steps = list(tree)
    if len(steps) > 1:
        first = steps[1] if steps[0] == SELF else steps[0]
        steps.sort(key=None if first[:2] == "f:" else _sort_key)
    out = {}
    for step in steps:
        below = tree[step]
        out[step] = ordered(below) if below else _MEMBER
    return out


_LONG = 128  # characters of a step that is not remembered: strangers choose them


def _sort_key(step: str) -> tuple[Any, ...]:
    return _known_sort_key(step) if len(step) <= _LONG else _parsed_sort_key(step)


@lru_cache(maxsize=2048)
def _known_sort_key(step: str) -> tuple[Any, ...]:
    """The same few keys (``k:{"type":"Ready"}``) come with every write."""
    return _parsed_sort_key(step)


def _parsed_sort_key(step: str) -> tuple[Any, ...]:
    sort, text = step[:2], step[2:]
    if sort == "k:":
        return 1, [(name, *_value_order(value)) for name, value in sorted(json.loads(text).items())]
    if sort == "v:":
        return 2, _value_order(json.loads(text))
    if sort == "i:":
        return 3, int(text)
    return 0, step


def _value_order(value: Any) -> tuple[int, Any]:
    """Numbers before texts before booleans, as upstream compares values of different kinds."""
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, int | float):
        return 0, value
    if isinstance(value, str):
        return 1, value
    return (5, 0) if value is None else (3, scalar(value))


def parse(fields: Any) -> FieldSet:
    """Reads FieldsV1 that somebody else wrote: steps in canonical spelling, unknown sorts of steps dropped.

    Raises ValueError for what upstream cannot decode either.
    """
    if not isinstance(fields, dict):
        raise ValueError("expected an object")
    tree: FieldSet = {}
    for step, below in fields.items():
        if step == SELF:
            tree[SELF] = {}
            continue
        canonical = _canonical(step)
        if canonical is None:
            continue
        inner = parse(below)
        if len(inner) == 1 and SELF in inner:
            inner = {}
        tree = union(tree, {canonical: inner})
    return ordered(tree)


def _canonical(step: str) -> str | None:
    if len(step) < 2:
        raise ValueError("key must be 2 characters long:")
    sort, text = step[:2], step[2:]
    if sort[1] != ":":
        raise ValueError(f"missing colon: {step}")
    if sort == "f:":
        return step
    if sort == "v:":
        return value_step(json.loads(text))
    if sort == "k:":
        keys = json.loads(text)
        if not isinstance(keys, dict):
            raise ValueError(f"expected an object: {step}")
        return key_step(iter(sorted(keys.items())))
    if sort == "i:":
        return f"i:{int(text)}"
    return None
