"""``python -m kloster.fleet.worker``: a process that serves some of the fleet's clusters.

It has what the main process has for clusters (a shard, a dispatcher, a server) and reaches the host as it would reach
any: by HTTP, here over a Unix socket, with an identity of its own, following it with informers. It keeps only what lies
in the host namespaces of its own clusters. It ends when the main process does, however that comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop

from kloster.aio.clock import SystemClock
from kloster.aio.supervision import Supervisor
from kloster.apimachinery import Object, errors
from kloster.apiserver.cluster import Settings
from kloster.apiserver.http.listeners import raise_descriptor_limit
from kloster.apiserver.http.server import Server
from kloster.apiserver.observability import logging
from kloster.apiserver.observability.watchdog import Watchdog
from kloster.client.client import Client
from kloster.client.http import HttpTransport
from kloster.client.informers import InformerSource
from kloster.client.kubeconfig import Connection
from kloster.client.transport import Request, Response
from kloster.fleet import memory
from kloster.fleet.control import Channel
from kloster.fleet.datadir import DataDir
from kloster.fleet.shard import Parking, Shard, running
from kloster.fleet.shared import Shared
from kloster.fleet.sites import FleetDirectory
from kloster.fleet.templates import Templates
from kloster.fleet.wish import Wish
from kloster.runtime.dispatcher import Dispatcher
from kloster.stores.threads import commit_threads
from kloster.syncer.connector import HostConnector
from kloster.syncer.hub import SEEN, HostHub

log = structlog.get_logger(__name__)

REPORT_SECONDS = 5.0
PARCEL_SECONDS = 10.0


class Nowhere:
    """Answers what is for no cluster of this process."""

    name = "nowhere"

    def ssl_context(self) -> ssl.SSLContext:
        raise LookupError("the cluster is served here no longer")

    def handler(self, _: Request) -> Response:
        raise errors.path_not_found()


@dataclass(slots=True)
class Inside:
    """What the worker has once it was told about the fleet."""

    shared: Shared
    shard: Shard
    watchdog: Watchdog


@dataclass(slots=True)
class Worker:
    """Does what the main process asks for."""

    stack: contextlib.AsyncExitStack
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    channel: Channel = field(init=False)
    inside: Inside | None = None
    namespaces: set[str] = field(default_factory=set)
    listening: dict[str, asyncio.Future[socket.socket]] = field(default_factory=dict)

    async def handle(self, ask: str, arguments: dict[str, Any]) -> Any:
        match ask:
            case "begin":
                await self._begin(arguments)
                return {"pid": os.getpid()}
            case "serve":
                return await self._serve(Wish.from_json(arguments["wish"]))
            case "freeze":
                return (await self._shard.freeze(Wish.from_json(arguments["wish"]))).to_json()
            case "drop":
                self._forget_listening(arguments["id"])
                await self._shard.drop(arguments["id"])
            case "end":
                self.stop.set()
        return None

    def parcel(self, what: dict[str, Any], descriptor: int) -> None:
        received = socket.socket(fileno=descriptor)
        received.setblocking(False)
        if "listen" in what:
            waiting = self._expected(what["listen"])
            if waiting.done():
                received.close()
            else:
                waiting.set_result(received)
        elif self.inside is not None:
            self.inside.shared.server.adopt_common(received)
        else:
            received.close()

    @property
    def _shard(self) -> Shard:
        assert self.inside is not None, "the main process begins with begin"
        return self.inside.shard

    async def _begin(self, told: dict[str, Any]) -> None:
        """Bring up everything that does not belong to a single cluster, and know the host."""
        stack, clock = self.stack, SystemClock()
        self.namespaces.update(told["namespaces"])
        directory, sites = DataDir(Path(told["data_dir"])), FleetDirectory()
        executor = commit_threads()
        stack.callback(executor.shutdown)
        supervisor = await stack.enter_async_context(Supervisor())
        server = await stack.enter_async_context(Server(sites))
        dispatcher = await stack.enter_async_context(Dispatcher(clock))
        sites.set_common(Nowhere())
        shared = Shared(
            clock,
            directory,
            executor,
            dispatcher,
            server,
            sites,
            Templates(directory.layers, executor, clock),
            told["bind"],
        )
        transport = HttpTransport(Connection(f"unix://{told['host_socket']}", token=told["token"]))
        client = Client(transport, user_agent="kloster-syncer")
        stack.push_async_callback(client.aclose)
        source = await stack.enter_async_context(InformerSource(client, clock, wanted=self._wanted, packed=True))
        for resource in SEEN:
            source.follow(resource)
        await source.wait_synced()
        hub = HostHub(client, source)
        stack.callback(hub.close)
        parking = Parking(told["park_after"])
        shard = await stack.enter_async_context(
            running(shared, hub, partial(HostConnector, hub), Settings(), parking, self._failed)
        )
        server.listen_unix(told["socket"])
        watchdog = Watchdog(clock)
        supervisor.spawn(watchdog.run(), name="watchdog")
        supervisor.spawn(memory.rest(shared), name="resting")
        shard.on_quiet = source.rest
        shared.metrics.held = lambda: memory.held(shard.awake())
        shard.report_layers(self._on_layers)
        self.inside = Inside(shared, shard, watchdog)
        supervisor.spawn(self._report(), name="report")
        memory.settle()

    def _wanted(self, item: Object) -> bool:
        namespace = item["metadata"].get("namespace")
        if item["kind"] == "PersistentVolume":
            namespace = (item["spec"].get("claimRef") or {}).get("namespace", "-")
        return not namespace or namespace in self.namespaces

    def _failed(self, wish: Wish) -> None:
        self.channel.tell("failed", wish=wish.to_json())

    def _on_layers(self, id: str, layers: frozenset[str]) -> None:
        self.channel.tell("layers", id=id, layers=sorted(layers))

    async def _serve(self, wish: Wish) -> int:
        self.namespaces.add(wish.tenancy.namespace)  # before anything of the cluster is there
        waiting = self._expected(wish.id)
        async with asyncio.timeout(PARCEL_SECONDS):
            received = await asyncio.shield(waiting)
        return await self._shard.serve(wish, lambda: received.dup())

    def _expected(self, id: str) -> asyncio.Future[socket.socket]:
        if id not in self.listening:
            self.listening[id] = asyncio.get_running_loop().create_future()
        return self.listening[id]

    def _forget_listening(self, id: str) -> None:
        waiting = self.listening.pop(id, None)
        if waiting is not None and waiting.done():
            waiting.result().close()

    async def _report(self) -> None:
        """Tell the main process, which answers for all on /metrics, what went on here."""
        while self.inside is not None:
            shard, metrics = self.inside.shard, self.inside.shared.metrics
            served = {slot.wish.display for slot in shard.slots.values()}
            usages = [usage for usage in metrics.usages() if usage.cluster in served]
            self.channel.tell(
                "counts",
                requests=sum(usage.requests for usage in usages),
                cpu=sum(usage.cpu for usage in usages),
                memory=memory.resident(),
                awake=sum(1 for _ in shard.awake()),
                clusters=len(shard.slots),
                lag=self.inside.watchdog.last,
                usages=[[usage.cluster, usage.requests, usage.cpu, usage.memory] for usage in usages],
            )
            await self.inside.shared.clock.sleep(REPORT_SECONDS)


async def run(stream: int, parcels: int) -> None:
    """Serve until the main process says so, or is gone."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        worker = Worker(stack)
        worker.channel = Channel(
            socket.socket(fileno=stream), socket.socket(fileno=parcels), worker.handle, worker.parcel
        )
        await worker.channel.open()
        loop.add_signal_handler(signal.SIGTERM, worker.stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the main process's
        talking = group.create_task(worker.channel.run())
        talking.add_done_callback(lambda _: worker.stop.set())
        await worker.stop.wait()
        await stack.aclose()
        worker.channel.close()


def main() -> None:
    logging.configure()
    raise_descriptor_limit()
    uvloop.run(run(int(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
