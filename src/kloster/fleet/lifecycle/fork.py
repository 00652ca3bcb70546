"""A cluster is forked: its overlay becomes a layer, and two clusters stand on it. Nothing is copied.

    source: overlay ──freeze──▶ layer ◀── a new overlay (the source goes on)
                                  ▲────── a new overlay, an identity of its own (the fork)

The steps, and what a crash between them leaves:

1. A new store file is made beside the source's: a file that nobody names; it is removed.
2. The source's file is marked as frozen and names its successor: the record is brought up to date from that.
3. The source's record names the new file and the new layer.
4. The frozen file is moved to the layers of the fleet: done when the cluster is opened.
5. The fork's record is written: from now on there is a fork.

`freeze` is steps 1 to 4, where the source is served; `recover` finishes them, whenever a cluster is opened;
`make_record` is step 5. What of the copied state must become the fork's own is the business of `naturalize`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kloster.fleet import record
from kloster.fleet.assembly import Assembled
from kloster.fleet.datadir import sync_directory
from kloster.fleet.identity import Identity
from kloster.fleet.lifecycle.create import save_new
from kloster.fleet.record import Record
from kloster.fleet.shared import Shared
from kloster.fleet.wish import Wish
from kloster.stores.api import StoreBroken, StoreFailed
from kloster.stores.storefile import new_id, settle


class NotServed(StoreFailed):
    """The cluster is not served at the moment, but soon will be."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A cluster's state at one revision, ready to be stood upon. `layers` are ids, the topmost first; `ahead` is how
    many seconds its time was moved on by a test."""

    minor: str
    revision: int
    layers: tuple[str, ...]
    ahead: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Frozen:
        return cls(data["minor"], data["revision"], tuple(data["layers"]), data.get("ahead", 0.0))


async def freeze(shared: Shared, cluster: Assembled) -> Frozen:
    """The cluster's state of now as layers; everything acknowledged is in them. Its watches go on.

    Raises StoreFailed (full disk: nothing has changed), StoreClosed (it was parked meanwhile).
    """
    loop = asyncio.get_running_loop()
    async with cluster.stacking:
        if not cluster.recorded:
            await loop.run_in_executor(shared.executor, _record, shared, cluster)
        revision = cluster.store.revision
        if not cluster.store.unchanged:
            path = cluster.store.path.with_name(f"store-{new_id()[:12]}.db")
            layer = await cluster.store.freeze(path)
            cluster.record = dataclasses.replace(
                cluster.record, layers=tuple(one.id for one in cluster.store.layers), replaced=(), store=path.name
            )
            cluster.recorded = False
            revision = layer.revision
            shared.templates.add(layer)
            await loop.run_in_executor(shared.executor, _record, shared, cluster)
        return Frozen(cluster.record.minor, revision, cluster.record.layers)


def _record(shared: Shared, cluster: Assembled) -> None:
    """Steps 3 and 4."""
    directory = shared.data_dir.cluster(cluster.record.id)
    try:
        record.save(directory, cluster.record)
        _tidy(directory, shared.data_dir.layers, cluster.record)
    except OSError as error:
        raise StoreFailed(f"{directory} cannot be written: {error.strerror or error}") from error
    cluster.recorded = True


async def make_record(shared: Shared, wish: Wish, source: Wish, frozen: Frozen, keys: Identity) -> Record:
    """Step 5: write the fork's record, durably. It has keys of its own; `wish.reset` counts as done."""
    now = shared.clock.now()
    origin = record.Origin(source.namespace, source.name, source.id, frozen.revision, now, frozen.layers, frozen.ahead)
    made = Record(
        wish.id, wish.namespace, wish.name, frozen.minor, frozen.layers, keys, origin=origin, reset=wish.reset
    )
    await save_new(shared, made)
    return made


def recover(directory: Path, layers: Path, found: Record) -> Record:
    """Finish what a crash interrupted. Returns the record as it is then. Raises StoreBroken, OSError."""
    others = [path for path in directory.glob("*.db*") if not path.name.startswith(found.store)]
    if not others:
        return found
    current = found
    while (directory / current.store).exists():
        info = settle(directory / current.store)
        if not info.frozen or not info.successor:
            break
        if not (directory / info.successor).exists():
            raise StoreBroken(f"{directory / info.successor} is missing; restore the cluster from a backup")
        current = dataclasses.replace(current, layers=(info.id, *info.base), replaced=(), store=info.successor)
    if current is not found:
        record.save(directory, current)
    _tidy(directory, layers, current)
    return current


def _tidy(directory: Path, layers: Path, current: Record) -> None:
    """Move frozen files to the layers; remove what nobody names."""
    moved = False
    for path in directory.glob("*.db"):
        if path.name == current.store:
            continue
        info = settle(path)
        if info.frozen and info.id in current.needed:
            path.chmod(0o400)
            path.rename(layers / f"{info.id}.db")
            moved = True
    if moved:
        sync_directory(layers)
        sync_directory(directory)
    for path in directory.glob("*.db*"):
        if not path.name.startswith(current.store):
            path.unlink()
