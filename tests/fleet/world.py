"""A fleet in this process, on a real directory and real ports: what the fleet's parts are tested in together."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import inspect
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
import yaml

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.client import Client
from kloster.client.http import HttpTransport
from kloster.client.kubeconfig import Connection, connection
from kloster.client.resources import CONFIG_MAPS, NAMESPACES, SECRETS
from kloster.fleet.datadir import DataDir
from kloster.fleet.process import Options, Running, started
from kloster.fleet.shard import Shard
from kloster.fleet.slot import Slot
from kloster.fleet.virtualcluster import VIRTUAL_CLUSTERS, condition, is_ready

PATIENCE = 30.0


class World:
    """A running fleet, seen through the host's API."""

    def __init__(self, running: Running, directory: DataDir, stack: contextlib.AsyncExitStack) -> None:
        self.running = running
        self.directory = directory
        self.host = running.host.cluster.client
        self._stack = stack

    @property
    def shard(self) -> Shard:
        """Where clusters are served, in a fleet without workers."""
        assert isinstance(self.running.serving, Shard)
        return self.running.serving

    async def ask(self, name: str, namespace: str = "default", **spec: Any) -> Object:
        """Create a VirtualCluster."""
        body = {
            "apiVersion": "kloster.dev/v1alpha1",
            "kind": "VirtualCluster",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        return await self.host.create(VIRTUAL_CLUSTERS, body)

    async def create(self, name: str, namespace: str = "default", **spec: Any) -> Object:
        """Create a VirtualCluster and wait until it is ready."""
        await self.ask(name, namespace, **spec)
        return await self.until(name, namespace, is_ready)

    async def get(self, name: str, namespace: str = "default") -> Object:
        return await self.host.get(VIRTUAL_CLUSTERS, namespace, name)

    async def until(self, name: str, namespace: str = "default", so: Callable[[Object], object] = is_ready) -> Object:
        """The VirtualCluster once `so` is true of it."""
        ends = time.monotonic() + PATIENCE
        while not so(seen := await self.get(name, namespace)):
            assert time.monotonic() < ends, seen.get("status")
            await asyncio.sleep(0.01)
        return seen

    async def refused(self, name: str, namespace: str = "default") -> tuple[str, str]:
        """(reason, message) of a cluster that is not ready, once that has been said."""

        def said(cluster: Object) -> bool:
            ready = condition(cluster, "Ready")
            return ready is not None and ready["status"] == "False"

        ready = condition(await self.until(name, namespace, said), "Ready")
        assert ready is not None
        return ready["reason"], ready["message"]

    async def delete(self, name: str, namespace: str = "default") -> None:
        """Delete a VirtualCluster and wait until it has gone."""
        await self.host.delete(VIRTUAL_CLUSTERS, namespace, name)
        await gone(self.host, VIRTUAL_CLUSTERS, name, namespace)

    async def kubeconfig(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """From the Secret that the fleet publishes."""
        secret = await self.host.get(SECRETS, namespace, f"kubeconfig-{name}")
        found: dict[str, Any] = yaml.safe_load(base64.b64decode(secret["data"]["config"]))
        return found

    async def connection(self, name: str, namespace: str = "default", **changes: Any) -> Connection:
        """How its administrator reaches the cluster over TLS."""
        return replace(connection(await self.kubeconfig(name, namespace)), **changes)

    async def client(self, name: str, namespace: str = "default", **changes: Any) -> Client:
        """The cluster's administrator, over TLS. Closed with the world."""
        return self.connect(await self.connection(name, namespace, **changes))

    def connect(self, to: Connection) -> Client:
        client = Client(HttpTransport(to), user_agent="test")
        self._stack.push_async_callback(client.aclose)
        return client

    def slot(self, cluster: Object) -> Slot:
        return self.shard.slots[cluster["metadata"]["uid"]]

    def files(self, cluster: Object) -> Path:
        return self.directory.cluster(cluster["metadata"]["uid"])

    async def park(self, cluster: Object) -> Slot:
        """Have the cluster parked by the shard itself, as soon as nothing keeps it awake."""
        slot, ends = self.slot(cluster), time.monotonic() + PATIENCE
        while slot.cluster is not None:
            assert time.monotonic() < ends, (slot.busy, slot.cluster.next_due, slot.cluster.attachments)
            await asyncio.sleep(0.02)
            await self.shard.park_idle(0.05)
        return slot


async def eventually(so: Callable[[], Awaitable[object]]) -> None:
    """Wait until `so` answers something true."""
    ends = time.monotonic() + PATIENCE
    while not await so():
        assert time.monotonic() < ends, "it never came to be"
        await asyncio.sleep(0.01)


async def gone(client: Client, resource: Resource, name: str, namespace: str = "") -> None:
    """Wait until the object has gone."""

    async def so() -> bool:
        return not await exists(client, resource, name, namespace)

    await eventually(so)


async def exists(client: Client, resource: Resource, name: str, namespace: str = "") -> bool:
    try:
        await client.get(resource, namespace, name)
    except StatusError as error:
        assert error.code == 404, error
        return False
    return True


def config_map(name: str, namespace: str = "default", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


async def write(client: Client, name: str, **data: str) -> Object:
    return await client.create(CONFIG_MAPS, config_map(name, **data))


async def read(client: Client, name: str) -> Mapping[str, str]:
    found: Mapping[str, str] = (await client.get(CONFIG_MAPS, "default", name))["data"]
    return found


async def make_namespace(client: Client, name: str) -> None:
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


@contextlib.asynccontextmanager
async def fleet(root: Path, **options: Any) -> AsyncIterator[World]:
    """A fleet on the directory `root`. Parks nothing by itself unless told to."""
    directory = DataDir(root)
    directory.prepare()
    with directory.locked():
        async with (
            started(Options(root, **{"nodes": 1, "park_after": 0.0, **options}), directory) as running,
            contextlib.AsyncExitStack() as stack,
        ):
            yield World(running, directory, stack)


def in_fleet(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test with a fleet in tmp_path: ``test(world, …)``."""

    @functools.wraps(test)
    def go(tmp_path: Path, **kwargs: Any) -> None:
        async def body() -> None:
            async with fleet(tmp_path / "data") as world:
                await test(world, **kwargs)

        uvloop.run(asyncio.wait_for(body(), 100))

    signature = inspect.signature(test)
    rest = list(signature.parameters.values())[1:]
    path = inspect.Parameter("tmp_path", inspect.Parameter.KEYWORD_ONLY, annotation=Path)
    go.__signature__ = signature.replace(parameters=[*rest, path])  # type: ignore[attr-defined]
    return go


def unverified() -> ssl.SSLContext:
    """A TLS client that believes anybody: for looking at what a server shows."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
