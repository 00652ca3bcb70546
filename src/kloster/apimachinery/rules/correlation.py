"""Which part of the old object a part of the new one was, and whether it has changed: what has not may stay invalid."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery.structural.model import Structural


class Correlated:
    """A value with the one that it was, at a node of the schema. Items of lists are known by their keys, if at all."""

    __slots__ = ("_children", "_equal", "_keyed", "new", "old", "schema")

    def __init__(self, new: Any, old: Any, schema: Structural) -> None:
        self.new = new
        self.old = old
        self.schema = schema
        self._equal: bool | None = None
        self._keyed: dict[tuple[Any, ...], Any] | None = None
        self._children: dict[Any, Correlated | None] = {}

    def unchanged(self) -> bool:
        if self._equal is None:
            self._equal = self._compare()
        return self._equal

    def _compare(self) -> bool:
        new, old = self.new, self.old
        if new.__class__ is not old.__class__:
            return False
        if isinstance(new, list):
            if len(new) != len(old):
                return False
            if self.schema.list_type != "map":
                return bool(new == old)
            return all((child := self.index(at)) is not None and child.unchanged() for at in range(len(new)))
        if isinstance(new, dict):
            return len(new) == len(old) and all(
                (child := self.key(name)) is not None and child.unchanged() for name in new
            )
        return bool(new == old)

    def key(self, name: str) -> Correlated | None:
        if name not in self._children:
            self._children[name] = self._key(name)
        return self._children[name]

    def _key(self, name: str) -> Correlated | None:
        new, old = self.new, self.old
        if not isinstance(new, dict) or not isinstance(old, dict) or name not in new or name not in old:
            return None
        schema = self.schema.child(name)
        return None if schema is None else Correlated(new[name], old[name], schema)

    def index(self, at: int) -> Correlated | None:
        if at not in self._children:
            self._children[at] = self._index(at)
        return self._children[at]

    def _index(self, at: int) -> Correlated | None:
        schema = self.schema
        if schema.list_type != "map" or schema.items is None or not isinstance(self.old, list):
            return None
        if self._keyed is None:
            self._keyed = by_key(self.old, schema.list_keys)
        old = self._keyed.get(key_of(self.new[at], schema.list_keys))
        return None if old is None else Correlated(self.new[at], old, schema.items)


def key_of(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """By which an item of a list of type `map` is known."""
    if not isinstance(item, dict):
        return ()
    return tuple((isinstance(item.get(key), bool), _plain(item.get(key))) for key in keys)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def by_key(items: list[Any], keys: tuple[str, ...]) -> dict[tuple[Any, ...], Any]:
    found: dict[tuple[Any, ...], Any] = {}
    for item in items:
        if isinstance(item, dict):
            found.setdefault(key_of(item, keys), item)
    return found
