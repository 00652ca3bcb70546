"""The published state of one cluster: an overlay of its own changes on shared layers.

The overlay costs what the cluster changed, nothing else. Freezing it (to fork the cluster) turns the changes into
a layer and starts an empty overlay on top: nothing is copied, whatever the size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kloster.stores.api import Entry, Event, Key
from kloster.stores.layers import Layer, Stack, Table, Tables, look_up


class Overlay(Stack):
    """A `View` of `layers` (the topmost first) under this cluster's own changes and tombstones."""

    __slots__ = ("_layers", "changes", "revision")

    def __init__(self, layers: Sequence[Layer] = (), revision: int = 0) -> None:
        """`revision` is the newest that was published; never below that of the layers."""
        self.revision = max([revision, *(layer.revision for layer in layers)])
        self._rest_on({}, layers)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self._layers

    def load(self, tables: dict[str, Table]) -> None:
        """Take over `tables` as this cluster's own changes, as they were persisted."""
        self._rest_on(tables, self._layers)

    def apply(self, events: Iterable[Event]) -> None:
        """Make committed changes visible."""
        for event in events:
            table = self.changes.get(event.key.resource)
            if table is None:
                table = self.changes[event.key.resource] = Table()
            replaced = table.entries.get(event.key)
            if replaced is not None:
                replaced.memo = None  # from now on only the log holds it; derived forms would outweigh the log
            if event.new is not None or self.is_below(event.key):
                table.put(event.key, event.new)
            else:
                table.drop(event.key)
            self.revision = event.revision

    def is_below(self, key: Key) -> bool:
        """Whether the layers have an object at `key`, so that a deletion needs a tombstone."""
        return look_up(self.maps[1:], key) is not None

    def freeze(self, id: str) -> Layer:
        """Turn the changes into the topmost layer and go on with an empty overlay on it."""
        layer = Layer(id, self.revision, self.changes)
        self._rest_on({}, (layer, *self._layers))
        return layer

    def rebase(self, layers: Sequence[Layer]) -> None:
        """Stand on other layers with the same content (after flattening)."""
        self._rest_on(self.changes, layers)

    def own(self) -> Iterator[tuple[Key, Entry | None]]:
        """This cluster's own changes; None for a tombstone."""
        for table in self.changes.values():
            yield from table.entries.items()

    def _rest_on(self, changes: dict[str, Table], layers: Sequence[Layer]) -> None:
        self.changes = changes
        self._layers = tuple(layers)
        maps: list[Tables] = [changes, *(layer.tables for layer in layers)]
        self.maps = maps
