"""The layers that clusters stand on: kept in files, shared in memory by those that are open.

The bottom layer of every cluster is the template of its Kubernetes version, made once. What lies on that are frozen
overlays (`lifecycle.fork`), which stay in memory as long as a cluster that is open stands on them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from weakref import WeakValueDictionary

import orjson

from kloster import __version__
from kloster.aio.clock import Clock, VirtualClock
from kloster.apiserver import bootstrap, pipeline
from kloster.apiserver.authorization.always import PrivilegedGroups
from kloster.apiserver.cluster import ServedCluster
from kloster.client.client import Client
from kloster.client.inprocess import InProcessTransport
from kloster.client.resources import CLUSTER_ROLES
from kloster.client.sources import LiveSource
from kloster.controllers import clusterroles
from kloster.fleet.credentials import MASTER
from kloster.kinds.catalog import MINORS, catalog
from kloster.runtime.api import Context, Key
from kloster.stores.api import StoreBroken
from kloster.stores.layerfile import read_layer, write_layer
from kloster.stores.layers import Layer
from kloster.stores.memory import MemoryStore

FORMAT = 2
"""Counts changes of how templates are made."""


class Templates:
    """Templates by Kubernetes minor version, and all other layers by their ids."""

    def __init__(self, directory: Path, executor: Executor, clock: Clock) -> None:
        self._directory = directory
        self._executor = executor
        self._clock = clock
        self._layers: dict[str, Layer] = {}
        self._others: WeakValueDictionary[str, Layer] = WeakValueDictionary()
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

    async def stack(self, ids: Sequence[str]) -> list[Layer]:
        """The layers that a cluster stands on, the topmost first. Raises StoreBroken for a missing or damaged file."""
        return [await self._by_id(id, ids[place + 1 :]) for place, id in enumerate(ids)]

    def add(self, layer: Layer) -> None:
        """A layer that has come to be in memory: who stands on it need not read its file."""
        self._others[layer.id] = layer

    def path(self, id: str) -> Path:
        """Where a layer's file is."""
        return self._directory / f"{id}.db"

    async def _by_id(self, id: str, base: Sequence[str]) -> Layer:
        for layer in self._layers.values():
            if layer.id == id:
                return layer
        minor = id.removeprefix("template-").partition("-")[0]
        if minor in MINORS and id == identity(minor):
            return await self.get(minor)
        async with self._locks.setdefault(id, asyncio.Lock()):
            found = self._others.get(id)
            if found is None:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._executor, self._read, id, base)
                self._others[id] = found
        self._locks.pop(id, None)
        return found

    def _read(self, id: str, base: Sequence[str]) -> Layer:
        path = self.path(id)
        if not path.exists():
            raise StoreBroken(f"layer {id} is missing: expected it at {path}; restore it from a backup")
        return read_layer(path, base)

    def _load(self, minor: str) -> Layer:
        """From its file; a file that is missing or damaged is made anew, for its content follows from the version."""
        path = self.path(identity(minor))
        if path.exists():
            try:
                return read_layer(path)
            except StoreBroken:
                path.unlink()
        layer = build(minor, self._clock.now())
        write_layer(path, layer)
        return layer


def identity(minor: str) -> str:
    """The name of the layer: clusters remember what they stand on. Another release of Kloster, or other bootstrap
    objects, make another layer beside this one."""
    what = orjson.dumps((FORMAT, __version__, catalog(minor).bootstrap))
    return f"template-{minor}-{hashlib.sha256(what).hexdigest()[:12]}"


def build(minor: str, now: float) -> Layer:
    """Make the layer. Runs an event loop of its own, so call it in a thread."""
    return asyncio.run(_build(minor, now))


async def _build(minor: str, now: float) -> Layer:
    """The bootstrap objects, and what controllers would make of them in every new cluster: aggregated roles."""
    version, clock = catalog(minor), VirtualClock(now)
    store = MemoryStore()
    puts = bootstrap.template(version, now)
    await store.transact(lambda _: puts)
    served = ServedCluster("template", version, store, PrivilegedGroups(), clock=clock)
    client = Client(InProcessTransport(pipeline.handler(served), MASTER))
    context = Context("template", client, LiveSource(served.view), Silent(), clock)
    before = -1
    while store.revision != before:  # roles are aggregated into roles that are aggregated
        before = store.revision
        for role in context.source.list(CLUSTER_ROLES):
            await clusterroles.reconcile(context, Key("", role["metadata"]["name"]))
    entries = [entry for _, entry in store.own() if entry is not None]
    revision = store.revision
    served.close()
    await store.close()
    return Layer.of(identity(minor), revision, entries)


class Silent:
    """A recorder for where there is nobody to tell."""

    def event(self, *_: object, **__: object) -> None: ...

    def for_component(self, component: str) -> Silent:
        return self
