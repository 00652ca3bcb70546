"""The bottom layer of every cluster of a Kubernetes version: made once, kept in a file, shared in memory."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Executor
from pathlib import Path

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

FORMAT = 1
"""Counts changes of how templates are made."""


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
        minor = id.removeprefix("template-").partition("-")[0]
        if minor in MINORS and id == identity(minor):
            return await self.get(minor)
        if id not in self._others:
            path = self._directory / f"{id}.db"
            if not path.exists():
                raise StoreBroken(f"layer {id} is missing: expected it at {path}; restore it from a backup")
            loop = asyncio.get_running_loop()
            self._others[id] = await loop.run_in_executor(self._executor, read_layer, path)
        return self._others[id]

    def _load(self, minor: str) -> Layer:
        """From its file; a file that is missing or damaged is made anew, for its content follows from the version."""
        path = self._directory / f"{identity(minor)}.db"
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
