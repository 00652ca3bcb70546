"""The process that the crash tests kill: writes as fast as it can and reports on stdout what it was promised.

Lines, each written at once: ``ready``; ``ack REVISION KEY VALUE`` once a write was acknowledged; ``saw REVISION KEY
VALUE`` once a watch showed it (VALUE is ``-`` for a deletion); ``deleting KEY`` before a deletion is asked for.

Usage: crash_child.py PATH durable|loose
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kloster.stores import storefile
from kloster.stores.api import Event, Key, Operation, Put, Remove, View
from kloster.stores.sqlite import SqliteStore
from kloster.stores.threads import commit_threads

WRITERS = 8


def report(line: str) -> None:
    os.write(1, (line + "\n").encode())


def tell(word: str, events: Sequence[Event]) -> None:
    for event in events:
        value = "-" if event.new is None else event.new.labels["value"]
        report(f"{word} {event.revision} {event.key.name} {value}")


def put(name: str, value: int) -> Put:
    return Put(Key("/pods", "default", name), b"{%d " % value + b"x" * 1500, b"}", {"value": str(value)}, {}, "v1")


async def count(store: SqliteStore, name: str) -> None:
    """Increment one counter, in ever new transactions."""

    def increment(view: View) -> Sequence[Operation]:
        entry = view.get(Key("/pods", "default", name))
        return [put(name, 1 if entry is None else int(entry.labels["value"]) + 1)]

    while True:
        tell("ack", await store.transact(increment))


async def come_and_go(store: SqliteStore, prefix: str) -> None:
    """Create objects of unique names and delete every second one."""
    for number in range(1_000_000):
        name = f"{prefix}-{number}"
        tell("ack", await store.transact(lambda _, name=name: [put(name, 0)]))  # type: ignore[misc]
        if number % 2:
            report(f"deleting {name}")
            tell("ack", await store.transact(lambda _, name=name: [Remove(put(name, 0).key)]))  # type: ignore[misc]


async def main(path: Path, durable: bool) -> None:
    with commit_threads(2) as executor:
        store = await SqliteStore.open(path, executor=executor, durable=durable)
        reader = store.subscribe("", store.revision, lambda: tell("saw", reader.drain()))
        report("ready")
        names = [f"counter{number}" for number in range(WRITERS)]
        await asyncio.gather(*(count(store, name) for name in names), come_and_go(store, f"once{store.revision}"))


if __name__ == "__main__":
    storefile._WAL_LIMIT = 256 << 10  # type: ignore[misc]  # so that kills fall into checkpoints too
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "durable"))
