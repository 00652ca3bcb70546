"""The bottom layer of every cluster of a Kubernetes version: made once, kept in a file, shared in memory."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Executor
from pathlib import Path

from kloster.aio.clock import Clock
from kloster.apiserver import bootstrap
from kloster.kinds.catalog import catalog
from kloster.stores.api import Entry, StoreBroken
from kloster.stores.layerfile import read_layer, write_layer
from kloster.stores.layers import Layer


class Templates:
    """Layers by Kubernetes minor version."""

    def __init__(self, directory: Path, executor: Executor, clock: Clock) -> None:
        self._directory = directory
        self._executor = executor
        self._clock = clock
        self._layers: dict[str, Layer] = {}
        self._others: dict[str, Layer] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, minor: str) -> Layer:
        """The version's layer. The first call for a version reads or makes it."""
        found = self._layers.get(minor)
        if found is not None:
            return found
        async with self._locks.setdefault(minor, asyncio.Lock()):
            if minor not in self._layers:
                loop = asyncio.get_running_loop()
                self._layers[minor] = await loop.run_in_executor(self._executor, self._load, minor)
            return self._layers[minor]

    async def by_id(self, id: str) -> Layer:
        """A layer that a cluster stands on. Raises StoreBroken if its file is missing or damaged."""
        for layer in self._layers.values():
            if layer.id == id:
                return layer
        if id not in self._others:
            path = self._directory / f"{id}.db"
            if not path.exists():
                raise StoreBroken(f"layer {id} is missing: expected it at {path}; restore it from a backup")
            loop = asyncio.get_running_loop()
            self._others[id] = await loop.run_in_executor(self._executor, read_layer, path)
        return self._others[id]

    def _load(self, minor: str) -> Layer:
        """From its file; a file that is missing or damaged is made anew, for its content follows from the version.

        Clusters name the layer that they stand on by its id, which is derived from the content: another release of
        Kloster with other bootstrap objects makes another layer beside this one.
        """
        layer = build(minor, self._clock.now())
        path = self._directory / f"{layer.id}.db"
        if path.exists():
            try:
                return read_layer(path)
            except StoreBroken:
                path.unlink()
        write_layer(path, layer)
        return layer


def build(minor: str, now: float) -> Layer:
    """Make the layer. Its id does not depend on `now`, although creation times do."""
    puts = bootstrap.template(catalog(minor), now)
    digest = hashlib.sha256()
    entries = []
    for revision, put in enumerate(puts, start=1):
        digest.update(repr((put.key, put.version)).encode())
        entries.append(Entry(put.key, revision, put.head, put.tail, put.labels, put.fields, put.version))
    for put in bootstrap.template(catalog(minor), 0.0):
        digest.update(put.head + put.tail)
    return Layer.of(f"template-{minor}-{digest.hexdigest()[:12]}", len(entries), entries)
