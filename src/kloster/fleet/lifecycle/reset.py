"""A fork goes back to the state at its fork: its overlay is dropped, a new one begins on the layers of then.

What it has on the host goes first: the pods of the forked state have the UIDs of those that run now, and they must
start anew. Then, in this order, a new store file is made, the record names it, the old file is removed; a crash before
the record is written leaves the cluster as it was, one after that a file that nobody names.

resourceVersions never go back: the new file begins far above the highest that was ever issued, and everything below
counts as compacted, so that watches of before the reset get 410 and list anew.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from pathlib import Path

from kloster.fleet import parked, record
from kloster.fleet.lifecycle import fork
from kloster.fleet.record import Record
from kloster.fleet.shared import Shared
from kloster.stores.api import StoreFailed
from kloster.stores.locking import FileLock
from kloster.stores.storefile import FileInfo, StoreFile, create, new_id

STEP = 1_000_000
"""Revisions that are passed over: more than could be on their way to somebody."""


async def reset_state(shared: Shared, found: Record, token: str) -> Record:
    """Drop the changes of a fork that is served nowhere; `token` says which reset this is. Returns its new record.

    Raises StoreFailed (full disk: it is as it was), StoreBroken.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(shared.executor, _reset, shared, found, token)


def _reset(shared: Shared, found: Record, token: str) -> Record:
    directory, layers = shared.data_dir.cluster(found.id), shared.data_dir.layers
    assert found.origin is not None, "only forks are reset"
    try:
        found = fork.recover(directory, layers, found)
        assert found.origin is not None
        floor = max(found.origin.revision, _newest(directory / found.store)) + STEP
        path = directory / f"store-{new_id()[:12]}.db"
        create(path, FileInfo(new_id(), found.origin.layers, floor))
        parked.forget(directory)
        done = dataclasses.replace(found, layers=found.origin.layers, replaced=(), store=path.name, reset=token)
        record.save(directory, done)
        return fork.recover(directory, layers, done)
    except (OSError, sqlite3.Error) as error:
        raise StoreFailed(f"{directory} cannot be written: {error}") from error


def _newest(path: Path) -> int:
    """The newest revision that was ever issued."""
    if not path.exists():
        return 0
    lock = FileLock(path)
    try:
        file = StoreFile(path)
        try:
            return file.revision()
        finally:
            file.close()
    finally:
        lock.release()
