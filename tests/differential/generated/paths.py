"""Where the fields of a type are, and objects with one of them set.

A path is a tuple of JSON names, list positions (always 0) and map keys. A struct type is looked into where it is met
first, breadth first: a second container type adds nothing that the first did not say.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.differential.generated.values import Values

from kloster.apimachinery import Object
from kloster.apimachinery.schema.model import Field, ListType, MapType, StructType, Type

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A field, and how it is reached. `sparse`: in a type that another kind's cases look into."""

    path: Path
    struct: StructType
    field: Field
    sparse: bool


def shown(path: Path) -> str:
    """As validation writes it: ``spec.containers[0].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def places(root: StructType, start: Path, is_foreign: Callable[[StructType], bool]) -> Iterator[Place]:
    """All fields below `root`, each struct type once; foreign types by their own fields only."""
    seen: set[str] = set()
    waiting: deque[tuple[Path, StructType]] = deque([(start, root)])
    while waiting:
        path, struct = waiting.popleft()
        if struct.name in seen:
            continue
        seen.add(struct.name)
        foreign = is_foreign(struct)
        for field in struct.fields.values():
            at = (*path, field.name)
            if not path and field.name in ("apiVersion", "kind", "status"):
                continue
            yield Place(at, struct, field, foreign)
            if foreign:
                continue
            inner, below = field.type, at
            while not isinstance(inner, StructType):
                step = _inner(inner)
                if step is None:
                    break
                part, inner = step
                below = (*below, part)
            else:
                waiting.append((below, inner))


def _inner(type: Type) -> tuple[str | int, Type] | None:
    if isinstance(type, ListType):
        return 0, type.item
    if isinstance(type, MapType):
        return Values.key(type), type.value
    return None


class Setter:
    """Makes objects in which one field has a certain value, filling in what stands around it.

    `unions` say of a Go type which fields may stand together: ``keep`` always, of the others only one; ``by`` names a
    field that must say which, with its values.
    """

    def __init__(self, values: Values, unions: Mapping[str, Any]) -> None:
        self._values = values
        self._unions = unions

    def set(self, root: StructType, base: Object, path: Path, value: Any) -> Object:
        """A copy of `base` with `value` at `path`."""
        obj: Object = copy.deepcopy(base)
        self._set(root, obj, path, value)
        return obj

    def _set(self, type: Type, at: Any, path: Path, value: Any) -> None:
        part, rest = path[0], path[1:]
        if isinstance(type, StructType):
            assert isinstance(part, str)
            self._choose(type, at, part)
            inner: Type = type.fields[part].type
        else:
            step = _inner(type)
            assert step is not None
            inner = step[1]
        if not rest:
            if isinstance(at, list):
                at[0] = value
            else:
                at[part] = value
            return
        present = at[0] if isinstance(at, list) else at.get(part)
        if not present:
            present = copy.deepcopy(self._values.minimal(inner))
        if isinstance(at, list):
            at[0] = present
        else:
            at[part] = present
        self._set(inner, present, rest, value)

    def _choose(self, type: StructType, at: Object, part: str) -> None:
        union = self._unions.get(type.name)
        if union is None or part in union["keep"]:
            return
        for name in [name for name in at if name != part and name not in union["keep"]]:
            del at[name]
        if by := union.get("by"):
            at[by] = union["values"].get(part, part[:1].upper() + part[1:])


def get(obj: Any, path: Path) -> Any:
    for part in path:
        obj = obj[part]
    return obj


def without(obj: Object, path: Path) -> Object:
    """A copy without the field or item at `path`."""
    found: Object = copy.deepcopy(obj)
    del get(found, path[:-1])[path[-1]]
    return found


def replaced(obj: Object, path: Path, value: Any) -> Object:
    found: Object = copy.deepcopy(obj)
    get(found, path[:-1])[path[-1]] = value
    return found


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything that an object holds, parents first; of lists only the first two items."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:2]):
            yield from walk(inner, (*path, index))


def merge_patch(old: Object, new: Object) -> Object:
    """The merge patch that makes `new` of `old`."""
    patch: Object = {}
    for name in old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if name not in new:
            patch[name] = None
        elif isinstance(before, dict) and isinstance(after, dict):
            if inner := merge_patch(before, after):
                patch[name] = inner
        elif before != after:
            patch[name] = after
    return dict(sorted(patch.items()))
