"""A cluster that stands on many layers gets few: those at the top are written as one.

Each fork of a cluster that was changed in between adds a layer, and every reading looks through all of them. So where
there are more than `DEEPEST`, the upper ones are merged, in the background, in the process that serves the cluster; its
requests go on, and the layers of others stay as they are.

The record names the new layers first (and the old ones as `replaced`), then the store's file, then the record names the
new ones alone: wherever a crash cuts, every layer that something names is there, and the next opening puts it right.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3

from kloster.fleet import record
from kloster.fleet.assembly import Assembled
from kloster.fleet.shared import Shared
from kloster.stores.api import StoreError, StoreFailed
from kloster.stores.layerfile import write_layer
from kloster.stores.layers import Layer, flatten, surplus
from kloster.stores.storefile import new_id

DEEPEST = 6
"""Layers that a cluster may stand on, its template included."""


def is_deep(cluster: Assembled) -> bool:
    return surplus(cluster.store.layers, DEEPEST) > 0


async def lessen(shared: Shared, cluster: Assembled) -> bool:
    """Merge what is too much. False if there was nothing to do. Raises StoreFailed, StoreClosed."""
    loop = asyncio.get_running_loop()
    async with cluster.stacking:
        layers = cluster.store.layers
        count = surplus(layers, DEEPEST)
        if not count or not cluster.recorded:
            return False
        merged = await loop.run_in_executor(shared.executor, _merge, shared, layers, count)
        rest = layers[count:]
        shared.templates.add(merged)
        before, ids = cluster.record, (merged.id, *(layer.id for layer in rest))
        await _save(shared, cluster, dataclasses.replace(before, layers=ids, replaced=before.layers))
        try:
            await cluster.store.rebase([merged, *rest])
        except StoreError:
            await _save(shared, cluster, before)
            raise
        await _save(shared, cluster, dataclasses.replace(before, layers=ids, replaced=()))
        return True


def _merge(shared: Shared, layers: tuple[Layer, ...], count: int) -> Layer:
    """One layer in place of the topmost `count`, in memory and as a file."""
    below = layers[count:]
    merged = flatten(new_id(), layers[:count], below)
    try:
        write_layer(shared.templates.path(merged.id), merged, [layer.id for layer in below])
    except (OSError, sqlite3.Error) as error:
        raise StoreFailed(f"a layer could not be written: {error}") from error
    return merged


async def _save(shared: Shared, cluster: Assembled, found: record.Record) -> None:
    directory = shared.data_dir.cluster(found.id)
    try:
        await asyncio.get_running_loop().run_in_executor(shared.executor, record.save, directory, found)
    except OSError as error:
        raise StoreFailed(f"the record could not be written: {error.strerror or error}") from error
    cluster.record = found
