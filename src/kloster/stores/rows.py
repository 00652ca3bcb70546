"""Entries as rows of a store file, and back.

A batch is one statement and 128 rows are loaded as one, for the sake of the GIL: see `kloster.stores.storefile`.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from kloster.stores.api import Entry, Event, Key

ROWS_PER_STATEMENT: Final = 200
_ROWS_PER_LOAD: Final = 128

# group_concat joins blobs byte by byte; with the lengths beside them they come apart again.
_LOAD: Final = f"""
SELECT max(id), json_group_array(json_array(resource, namespace, name, revision, length(head), length(tail),
                                   labels, fields, version)),
       group_concat(head, ''), group_concat(tail, '')
FROM (SELECT * FROM entries WHERE id > ? ORDER BY id LIMIT {_ROWS_PER_LOAD})
"""

_COLUMNS: Final = ("resource", "namespace", "name", "revision", "head", "tail", "labels", "fields", "version")
_ROW: Final = f"({','.join('?' * len(_COLUMNS))})"
_INSERT: Final = f"INSERT INTO entries ({','.join(_COLUMNS)}) VALUES "
_OR_REPLACE: Final = " ON CONFLICT (resource, namespace, name) DO UPDATE SET " + ",".join(
    f"{column}=excluded.{column}" for column in _COLUMNS[3:]
)

Rows = Mapping[Key, Entry | int]
"""What a commit writes: an entry, or the revision of its deletion."""


def rows_of(events: Iterable[Event]) -> dict[Key, Entry | int]:
    """What there is after `events` where they changed something."""
    return {event.key: event.revision if event.new is None else event.new for event in events}


@dataclass(frozen=True, slots=True)
class Content:
    """All rows of a file."""

    entries: list[Entry] = field(default_factory=list)
    tombstones: dict[Key, int] = field(default_factory=dict)
    revision: int = 0


def statements(rows: Rows) -> Iterator[tuple[str, Sequence[object]]]:
    """Upserts for `rows`, each for many rows."""
    items = list(rows.items())
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        part = items[start : start + ROWS_PER_STATEMENT]
        values: list[object] = []
        for key, row in part:
            values += key
            if isinstance(row, Entry):
                values += (row.revision, row.head, row.tail, _packed(row.labels), _packed(row.fields), row.version)
            else:
                values += (row, None, None, None, None, None)
        yield _INSERT + ",".join([_ROW] * len(part)) + _OR_REPLACE, values


def _packed(strings: dict[str, str]) -> str | None:
    return orjson.dumps(strings).decode() if strings else None


def load(connection: sqlite3.Connection) -> Content:
    """Everything in a file. The connection's `text_factory` must be bytes."""
    entries: list[Entry] = []
    tombstones: dict[Key, int] = {}
    newest = 0
    last = 0
    maps: dict[str | None, dict[str, str]] = {None: {}}  # equal labels share one dictionary

    def unpacked(text: str | None) -> dict[str, str]:
        known = maps.get(text)
        if known is None:
            known = maps[text] = orjson.loads(text or "{}")
        return known

    while True:
        last, listing, heads, tails = connection.execute(_LOAD, (last,)).fetchone()
        rows = orjson.loads(listing)
        head_start = tail_start = 0
        for resource, namespace, name, revision, head_size, tail_size, labels, fields, version in rows:
            key = Key(sys.intern(resource), sys.intern(namespace), name)
            newest = max(newest, revision)
            if head_size is None:
                tombstones[key] = revision
                continue
            head = heads[head_start : head_start + head_size]
            tail = tails[tail_start : tail_start + tail_size]
            head_start += head_size
            tail_start += tail_size
            entries.append(Entry(key, revision, head, tail, unpacked(labels), unpacked(fields), sys.intern(version)))
        if len(rows) < _ROWS_PER_LOAD:
            return Content(entries, tombstones, newest)
