"""What ``kloster up`` runs: one process with the embedded host and all its virtual clusters.

    lock the directory ─▶ listeners, dispatcher ─▶ host ─▶ clusters ─▶ ready (state file, pipe) ─▶ wait ─▶ stop

SIGTERM and SIGINT stop it in order; a second one ends it at once. After a crash the next start finds everything that
was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import ProcessCollector

from kloster import __version__
from kloster.aio.clock import SystemClock
from kloster.aio.signals import stop_event
from kloster.aio.supervision import Supervisor
from kloster.apiserver.cluster import Settings
from kloster.apiserver.http.listeners import raise_descriptor_limit
from kloster.apiserver.http.server import Server
from kloster.apiserver.observability.watchdog import Watchdog
from kloster.fleet import addresses, host, memory, shard, workers
from kloster.fleet.assembly import Assembled
from kloster.fleet.datadir import DataDir, write_json
from kloster.fleet.host import EmbeddedHost
from kloster.fleet.ports import Ports
from kloster.fleet.reconciler import Fleet, url
from kloster.fleet.shard import PAST, Shard
from kloster.fleet.shared import Shared
from kloster.fleet.sites import FleetDirectory
from kloster.fleet.templates import Templates
from kloster.fleet.workers import Workers
from kloster.runtime.dispatcher import Dispatcher
from kloster.stores.threads import commit_threads
from kloster.syncer.connector import HostConnector

log = structlog.get_logger(__name__)

COMMON = "common"
FEW_FILES = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """Parsed once from the command line.

    workers       processes that serve clusters; 1: this one, 0: one for each core
    ready_fd      where to say, as JSON, that the fleet is ready, or what went wrong
    lifeline_fd   a pipe; when its other end closes, the process ends
    temporary     a directory around the data directory that is removed when the process ends; who starts a fleet in it
                  holds the file ``lock`` there
    park_after    seconds until a cluster that nobody uses is parked, 0 for never
    local_webhooks  webhooks may run on this machine
    audit_policy_file   what the audit logs of clusters tell; None: there are none
    """

    data_dir: Path
    bind: str = "127.0.0.1"
    port: int = 0
    nodes: int = 3
    workers: int = 1
    ready_fd: int = -1
    park_after: float = 30.0
    lifeline_fd: int = -1
    temporary: Path | None = None
    local_webhooks: bool = False
    audit_policy_file: Path | None = None


async def run(options: Options) -> None:
    """Run until a signal. Raises DataDirError, AddressInUse, StoreBroken before anything is served."""
    directory = DataDir(options.data_dir)
    directory.prepare()
    with directory.locked() as lock:
        files = raise_descriptor_limit()
        if files < FEW_FILES:
            log.warning("few open files are allowed; each watch needs one", allowed=files, wanted=FEW_FILES)
        stop = stop_event()
        if options.lifeline_fd >= 0:
            asyncio.get_running_loop().add_reader(options.lifeline_fd, _lifeline_cut, options.lifeline_fd, stop)
        async with started(options, directory, lock) as running:
            if not stop.is_set():
                state = running.state()
                write_json(directory.state, state)
                _tell(options.ready_fd, state)
                log.info("ready", address=state["address"], files=files)
                memory.settle()
                await stop.wait()
            log.info("stopping")
            directory.state.unlink(missing_ok=True)
            if options.temporary is not None and _removed(options.temporary):
                directory.forget_sockets()
                os._exit(0)  # nothing is kept, so nothing has to be closed in order


@dataclass(frozen=True, slots=True)
class Running:
    """A fleet's process while it runs. `common` is the URL of the address that all clusters share."""

    options: Options
    shared: Shared
    host: EmbeddedHost
    serving: Shard | Workers
    fleet: Fleet
    common: str

    def state(self) -> dict[str, Any]:
        """What commands need to know."""
        return {
            "pid": os.getpid(),
            "address": url(self.options.bind, self.host.port),
            "common": self.common,
            "version": self.host.cluster.served.catalog.git_version,
            "kloster": __version__,
            "nodes": "simulated",
            "nodeCount": self.options.nodes,
            "workers": len(self.serving.workers) if isinstance(self.serving, Workers) else 0,
        }


@contextlib.asynccontextmanager
async def started(options: Options, directory: DataDir, lock: int = -1) -> AsyncIterator[Running]:
    """The host and its fleet, running. `lock` is the descriptor of the directory's lock, which workers share."""
    clock = SystemClock()
    sites = FleetDirectory()
    ports = Ports.load(directory.ports)
    async with contextlib.AsyncExitStack() as stack:
        executor = commit_threads()
        stack.callback(executor.shutdown)
        supervisor = await stack.enter_async_context(Supervisor())
        server = await stack.enter_async_context(Server(sites))
        dispatcher = await stack.enter_async_context(Dispatcher(clock))
        templates = Templates(directory.layers, executor, clock)
        shared = Shared(clock, directory, executor, dispatcher, server, sites, templates, options.bind)
        _watch_over(shared, supervisor)
        embedded = await host.start(shared, ports, options.nodes)
        stack.push_async_callback(embedded.close)
        supervisor.spawn(_forget_past(shared, embedded.cluster), name="forgetting")
        supervisor.spawn(memory.rest(shared), name="resting")
        serving = await stack.enter_async_context(_serving(shared, embedded, options, lock))
        common = _listen_common(shared, ports, options)
        await ports.saved(executor)
        fleet = Fleet(shared, ports, serving, Settings(), common)
        serving.on_failure = fleet.look_at
        shared.metrics.add(ProcessCollector(registry=None).collect)
        shared.metrics.held = lambda: memory.held(_in_memory(embedded, serving))
        embedded.cluster.attach([fleet.controller()])
        await fleet.wait_seen(embedded.cluster.source)
        yield Running(options, shared, embedded, serving, fleet, common)
        await embedded.cluster.detach()


def _in_memory(embedded: EmbeddedHost, serving: Shard | Workers) -> Iterator[Assembled]:
    """The clusters that this process has in memory."""
    yield embedded.cluster
    if isinstance(serving, Shard):
        yield from serving.awake()


def _serving(
    shared: Shared, embedded: EmbeddedHost, options: Options, lock: int
) -> contextlib.AbstractAsyncContextManager[Shard | Workers]:
    """Where clusters are served: here, or in workers."""
    count = options.workers or len(os.sched_getaffinity(0))
    if count > 1:
        return workers.running(shared, embedded, count, options.park_after, lock)
    connector = partial(HostConnector, embedded.hub)
    return shard.running(shared, embedded.hub, connector, Settings(), shard.Parking(options.park_after))


async def _forget_past(shared: Shared, cluster: Assembled) -> None:
    while True:
        await shared.clock.sleep(PAST)
        await cluster.forget_past()


def _watch_over(shared: Shared, supervisor: Supervisor) -> None:
    watchdog = Watchdog(shared.clock)
    shared.metrics.add(watchdog.families)
    supervisor.spawn(watchdog.run(), name="watchdog")


def _listen_common(shared: Shared, ports: Ports, options: Options) -> str:
    """The address that all clusters share; its port is remembered as well."""
    listening = addresses.bind(options.bind, ports, COMMON, options.port)
    shared.server.listen_common_bound(listening)
    return url(options.bind, int(listening.getsockname()[1]))


def _removed(directory: Path) -> bool:
    """Remove the directory, while nobody can start another fleet in it.

    Whoever waits for the start of this one holds the lock and cleans up instead: then it is False.
    """
    try:
        with (directory / "lock").open("r+") as lock:
            if not _acquired(lock.fileno()):
                return False
            shutil.rmtree(directory, ignore_errors=True)
            return True
    except FileNotFoundError:
        return True


def _acquired(descriptor: int, patience: float = 2.0) -> bool:
    ends = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > ends:
                return False
        time.sleep(0.01)


def _lifeline_cut(descriptor: int, stop: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(descriptor)
    stop.set()


def _tell(descriptor: int, state: dict[str, Any]) -> None:
    """Say over the pipe of the waiting command that everything is served (or what went wrong)."""
    if descriptor < 0:
        return
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, json.dumps(state).encode())
    os.close(descriptor)


def report_failure(descriptor: int, error: str) -> None:
    """The start failed: tell the waiting command why."""
    with contextlib.suppress(OSError):  # nobody waits any longer
        _tell(descriptor, {"error": error})
