"""Lists that are sets or maps (x-kubernetes-list-type): no item, or no key of an item, occurs twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kloster.apimachinery import errors
from kloster.apimachinery.errors import FieldError
from kloster.apimachinery.structural.model import Structural

_NAME = "lists"


def validate(schema: Structural, value: Any, path: str = "") -> Iterator[FieldError]:
    """The items that repeat an earlier one."""
    if not _concerned(schema):
        return
    if value.__class__ is dict:
        for name, item in value.items():
            if name in schema.properties:
                yield from validate(schema.properties[name], item, f"{path}.{name}" if path else name)
            elif isinstance(schema.additional, Structural):
                yield from validate(schema.additional, item, f"{path}[{name}]")
    elif value.__class__ is list:
        if schema.list_type == "set":
            for index in _repeated(value):
                yield errors.duplicate(f"{path}[{index}]", _ordered(value[index]))
        elif schema.list_type == "map":
            yield from _validate_map(schema, value, path)
        if schema.items is not None:
            for index, item in enumerate(value):
                yield from validate(schema.items, item, f"{path}[{index}]")


def _concerned(schema: Structural) -> bool:
    """Whether there is a set or map at or below the node; found once."""
    found: bool | None = schema.compiled.get(_NAME)
    if found is None:
        own = schema.list_type in ("set", "map")
        found = schema.compiled[_NAME] = own or any(_concerned(inner) for inner in schema.children())
    return found


def _validate_map(schema: Structural, value: Sequence[Any], path: str) -> Iterable[FieldError]:
    for index, item in enumerate(value):
        if item is not None and item.__class__ is not dict:
            text = "must be an object for an array of list-type map"
            return [errors.invalid_value(f"{path}[{index}]", item, text)]
    keys = [{name: item[name] for name in schema.list_keys if name in item} if item else {} for item in value]
    return [errors.duplicate(f"{path}[{index}]", _ordered(keys[index])) for index in _repeated(keys)]


def _ordered(value: Any) -> Any:
    """The value as it is shown: upstream's maps know no order, and are shown by their sorted names."""
    return json.loads(json.dumps(value, sort_keys=True)) if value.__class__ in (dict, list) else value


def _repeated(values: Sequence[Any]) -> Iterator[int]:
    """Where a value occurs for the second time; further repetitions are not told."""
    if len(values) < 2:
        return
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        text = json.dumps(value, sort_keys=True)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield index
