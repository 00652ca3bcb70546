"""Immutable layers, and how a stack of them is read.

The model, as with container images: a cluster's state is a stack of maps *key → entry*. What a map does not
mention shows through from below; a *tombstone* (``None`` in place of an entry) hides what lies below. The maps at
the bottom are `Layer` objects: frozen, so any number of clusters may share them. On top lies one overlay that
changes (`kloster.stores.state`), and while a batch is being committed a small map of its changes lies on that.

A map is kept as one `Table` per resource, so that reading pods never steps over anything else. All maps are
read by the same two functions, `look_up` and `scan`, whatever the height of the stack.

**A scan is a snapshot.** It may be consumed slowly (a LIST is sent in slices) while writes go on: a table that is
being read copies itself before it changes. Copying happens only then, which a weak reference to the readers tells.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from kloster.stores.api import Entry, Key

_CHUNK: Final = 128
_ALONE: Final = 16  # keys of one map from which on it is worth reading them by themselves


class _Readers:
    """Alive as long as somebody is scanning a table; holds nothing."""

    __slots__ = ("__weakref__",)


class _Missing:
    """Told apart from a tombstone, which is None."""


_MISSING: Final = _Missing()


class Table:
    """The objects of one resource in one map: a dictionary beside its sorted keys. None is a tombstone."""

    __slots__ = ("_readers", "entries", "keys")

    def __init__(self, entries: dict[Key, Entry | None] | None = None) -> None:
        self.entries: dict[Key, Entry | None] = {} if entries is None else entries
        self.keys: list[Key] = sorted(self.entries)
        self._readers: weakref.ref[_Readers] | None = None

    def put(self, key: Key, entry: Entry | None) -> None:
        self._detach_readers()
        if key not in self.entries:
            if not self.keys or self.keys[-1] < key:
                self.keys.append(key)
            else:
                insort(self.keys, key)
        self.entries[key] = entry

    def drop(self, key: Key) -> None:
        """Stop mentioning `key` at all, so that what lies below shows again."""
        if key in self.entries:
            self._detach_readers()
            del self.entries[key]
            del self.keys[bisect_left(self.keys, key)]

    def readers(self) -> object:
        """A token; as long as it lives, today's `keys` and `entries` objects stay as they are."""
        readers = self._readers() if self._readers is not None else None
        if readers is None:
            readers = _Readers()
            self._readers = weakref.ref(readers)
        return readers

    def _detach_readers(self) -> None:
        if self._readers is not None:
            if self._readers() is not None:
                self.entries = self.entries.copy()
                self.keys = self.keys.copy()
            self._readers = None


Tables = Mapping[str, Table]


class Stack:
    """A `View` of maps lying on each other, the topmost first."""

    __slots__ = ("maps",)

    def __init__(self, maps: Sequence[Tables]) -> None:
        self.maps = maps

    def get(self, key: Key) -> Entry | None:
        return look_up(self.maps, key)

    def scan(self, resource: str, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[Entry]:
        return scan(self.maps, resource, namespace, after)


class Layer:
    """A frozen map, shared by all clusters that stand on it.

    `id` names the content: a store file remembers the ids of the layers that it lies on and refuses others.
    `revision` is the highest revision that was issued up to the freezing; overlays continue above it.
    `memo` may be used by a reader for what it found out about the content (never persisted).
    """

    __slots__ = ("__weakref__", "id", "memo", "revision", "tables")

    def __init__(self, id: str, revision: int, tables: Tables) -> None:
        self.id = id
        self.revision = revision
        self.tables = tables
        self.memo: Any = None

    @classmethod
    def of(cls, id: str, revision: int, entries: Iterable[Entry], tombstones: Iterable[Key] = ()) -> Layer:
        """A layer of `entries` (any order, keys unique) and `tombstones`."""
        maps: dict[str, dict[Key, Entry | None]] = {}
        for entry in entries:
            maps.setdefault(entry.key.resource, {})[entry.key] = entry
        for key in tombstones:
            maps.setdefault(key.resource, {})[key] = None
        return cls(id, revision, {resource: Table(content) for resource, content in maps.items()})

    def __repr__(self) -> str:
        return f"Layer({self.id!r}, revision={self.revision}, objects={self.size})"

    @property
    def size(self) -> int:
        """How many keys it mentions."""
        return sum(len(table.keys) for table in self.tables.values())

    def entries(self) -> Iterator[tuple[Key, Entry | None]]:
        """Everything that this layer mentions, in key order; None for a tombstone."""
        for resource in sorted(self.tables):
            table = self.tables[resource]
            for key in table.keys:
                yield key, table.entries[key]


def look_up(maps: Sequence[Tables], key: Key) -> Entry | None:
    """The entry at `key`: what the first map that mentions it says."""
    resource = key[0]
    for tables in maps:
        table = tables.get(resource)
        if table is not None:
            found = table.entries.get(key, _MISSING)
            if found is not _MISSING:  # `isinstance` would cost a quarter of the look-up
                return found  # type: ignore[return-value]
    return None


class _Span:
    """The part of a table that a scan has still to read."""

    __slots__ = ("entries", "keys", "readers", "start", "stop")

    def __init__(self, table: Table, start: int, stop: int) -> None:
        self.keys = table.keys
        self.entries = table.entries
        self.readers = table.readers()
        self.start = start
        self.stop = stop

    def read(self, end: int) -> Iterator[Entry]:
        """Its own entries up to `end`, in slices of keys, for somebody may stop early."""
        keys, find = self.keys, self.entries.__getitem__
        while self.start < end:
            start, self.start = self.start, min(self.start + _CHUNK, end)
            yield from filter(None, map(find, keys[start : self.start]))


def scan(
    maps: Sequence[Tables], resource: str, namespace: str = "", after: tuple[str, str] | None = None
) -> Iterator[Entry]:
    """The entries of `resource` in key order, as they are at the time of this call.

    Only those of `namespace` if it is given; only those whose (namespace, name) is greater than `after`.
    """
    spans = []
    for tables in maps:
        table = tables.get(resource)
        if table is None:
            continue
        keys = table.keys
        start, stop = 0, len(keys)
        if namespace:
            start = bisect_left(keys, Key(resource, namespace, ""))
            stop = bisect_left(keys, Key(resource, namespace + "\0", ""), start)
        if after is not None:
            start = max(start, bisect_right(keys, Key(resource, *after)))
        if start < stop:
            spans.append(_Span(table, start, stop))
    return _merge(spans)


def _merge(spans: list[_Span]) -> Iterator[Entry]:
    """Read several spans as one, in slices of keys; `spans` is ordered, the topmost first."""
    while len(spans) > 1:
        lowest = min(spans, key=_next_key)
        other = min(_next_key(span) for span in spans if span is not lowest)
        end = bisect_left(lowest.keys, other, lowest.start, lowest.stop)
        if end - lowest.start >= _ALONE:  # few changes on many objects: most of it is not said twice
            yield from lowest.read(end)
        else:
            yield from _merged(spans)
        spans = [span for span in spans if span.start < span.stop]
    for span in spans:
        yield from span.read(span.stop)


def _next_key(span: _Span) -> Key:
    return span.keys[span.start]


def _merged(spans: list[_Span]) -> Iterator[Entry]:
    """The next slice of all of them."""
    bound = min(span.keys[min(span.start + _CHUNK, span.stop) - 1] for span in spans)
    merged: dict[Key, Entry | None] = {}
    for span in reversed(spans):  # from the bottom up, so that the top wins
        end = bisect_right(span.keys, bound, span.start, min(span.start + _CHUNK, span.stop))
        for key in span.keys[span.start : end]:
            merged[key] = span.entries[key]
        span.start = end
    for key in sorted(merged):
        entry = merged[key]
        if entry is not None:
            yield entry


def surplus(layers: Sequence[Layer], deepest: int) -> int:
    """How many layers, counted from the top, to flatten into one, so that at most `deepest` are left; 0 for none.

    The lowest layer is never touched: it is the template that everybody shares. Beyond what is needed, a layer is taken
    in as well if it is no larger than what lies above it: so a large layer is not written again for every small one.
    """
    if len(layers) <= deepest:
        return 0
    count = len(layers) - deepest + 1
    above = sum(layer.size for layer in layers[:count])
    for layer in layers[count:-1]:
        if layer.size > above:
            break
        above += layer.size
        count += 1
    count = min(count, len(layers) - 1)
    return count if count > 1 else 0


def flatten(id: str, layers: Sequence[Layer], below: Sequence[Layer] = ()) -> Layer:
    """One layer that reads as `layers` do (the topmost first) when it lies on `below`.

    Deep stacks cost a look-up per layer; flattening bounds their height. A tombstone survives only where it
    hides something in `below`.
    """
    merged: dict[Key, Entry | None] = {}
    for layer in reversed(layers):
        merged.update(layer.entries())
    beneath = [layer.tables for layer in below]
    return Layer.of(
        id,
        max((layer.revision for layer in (*layers, *below)), default=0),
        (entry for entry in merged.values() if entry is not None),
        (key for key, entry in merged.items() if entry is None and look_up(beneath, key) is not None),
    )
