"""The worker processes, as the main process sees them.

    main process                                              worker 0, 1, …
    ────────────                                              ──────────────
    host, VirtualCluster reconciler ──serve, drop, end──────▶ shard: its clusters
    listening sockets of all clusters ──a copy of each──────▶ accepts
    common address: SNI ──the connection, untouched─────────▶ handshake
                    /clusters/NS/NAME ──over a Unix socket──▶ answers
    host's API ◀──over a Unix socket, a token of its own────  syncers

Which worker has which cluster is decided once (the one with the fewest) and remembered. A worker that dies is started
again after a moment, gets its clusters' sockets and serves them anew; meanwhile connections wait in the sockets, which
the main process holds. Other workers do not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from kloster.aio.backoff import Backoff
from kloster.aio.supervision import Supervisor
from kloster.apimachinery import errors
from kloster.apiserver.observability.metrics import Usage
from kloster.client.errors import ConnectionFailed
from kloster.client.http import HttpTransport
from kloster.client.kubeconfig import Connection
from kloster.client.transport import Request, Response
from kloster.fleet import credentials, worker_role
from kloster.fleet.assignments import Assignments
from kloster.fleet.control import Channel, Gone, Remote
from kloster.fleet.datadir import DataDirError
from kloster.fleet.host import EmbeddedHost
from kloster.fleet.lifecycle.fork import Frozen, NotServed
from kloster.fleet.shared import Shared
from kloster.fleet.sites import server_name
from kloster.fleet.virtualcluster import VIRTUAL_CLUSTERS
from kloster.fleet.wish import Wish, host_namespace
from kloster.stores.api import StoreError, StoreFailed

log = structlog.get_logger(__name__)

RESTART = Backoff(first=0.1, limit=30.0)
STEADY = 30.0
"""Seconds after which a worker that ran counts as well."""
PATIENCE = 30.0
"""Seconds that a cluster waits for its worker to be there."""
HOP_BY_HOP = frozenset({"connection", "keep-alive", "content-length", "transfer-encoding", "host", "accept-encoding"})


@dataclass(slots=True)
class Held:
    """A cluster that a worker serves, and the socket of its port."""

    wish: Wish
    listening: socket.socket


@dataclass(slots=True)
class Worker:
    """One worker process, over all its lives. `counts` and `usages` are what it reported last."""

    number: int
    socket: Path
    transport: HttpTransport
    held: dict[str, Held] = field(default_factory=dict)
    channel: Channel | None = None
    there: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    counts: dict[str, float] = field(default_factory=dict)
    usages: list[Usage] = field(default_factory=list)
    pid: int = 0
    starts: int = 0


class Site:
    """A cluster of a worker on the common address: its paths are answered by the worker."""

    def __init__(self, name: str, worker: Worker) -> None:
        self.name = name
        self._worker = worker

    def ssl_context(self) -> ssl.SSLContext:
        raise LookupError("connections to a worker's clusters are handed over before the handshake")

    async def handler(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        try:
            async with asyncio.timeout(PATIENCE):
                await self._worker.there.wait()
            return await self._worker.transport(
                Request(request.method, request.prefix + request.path, request.query, headers, request.body)
            )
        except (ConnectionFailed, TimeoutError):
            raise errors.unavailable("the process that serves this cluster is being started again") from None


class Workers:
    """Serves clusters in worker processes (`reconciler.Serving`). Use `running`."""

    def __init__(self, shared: Shared, host: EmbeddedHost, count: int, park_after: float, lock: int) -> None:
        """Raises DataDirError if the table of assignments is damaged."""
        self.shared = shared
        self.on_failure: Callable[[Wish], None] = lambda wish: None
        self.on_layers: Callable[[str, frozenset[str]], None] = lambda id, layers: None
        self._host = host
        self._park_after = park_after
        self._lock = lock
        self._random = Random()
        self._tokens = worker_role.Tokens()
        self._table = Assignments.load(shared.data_dir.root / "workers.json", count)
        self._namespaces: dict[str, str] = {}
        self._names: dict[str, Worker] = {}
        self._ending = asyncio.Event()
        sockets = shared.data_dir.sockets()
        self._host_socket = sockets / "host.sock"
        paths = [sockets / f"worker-{number}.sock" for number in range(count)]
        self.workers = [
            Worker(number, path, HttpTransport(Connection(f"unix://{path}"))) for number, path in enumerate(paths)
        ]

    # -- what the fleet asks for ------------------------------------------------------------------------------------

    async def serve(self, wish: Wish, listening: Callable[[], socket.socket]) -> int:
        worker = self.workers[self._table.of(wish.id)]
        self._namespaces[wish.id] = wish.tenancy.namespace
        await self._table.saved(self.shared.executor)
        held = worker.held.get(wish.id)
        if held is None:
            held = worker.held[wish.id] = Held(wish, listening())
            self._names[server_name(wish.namespace, wish.name)] = worker
            self.shared.sites.add_elsewhere(wish.namespace, wish.name, Site(wish.display, worker))
        held.wish = wish
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.there.wait()
                return await self._send(worker, held)
        except (Gone, TimeoutError) as error:
            raise StoreFailed(f"the process that serves {wish.display} is being started again") from error
        except (StoreError, DataDirError):
            await self.drop(wish.id)
            raise

    def report_layers(self, told: Callable[[str, frozenset[str]], None]) -> None:
        self.on_layers = told

    async def freeze(self, wish: Wish) -> Frozen:
        worker = self.workers[self._table.of(wish.id)]
        if wish.id not in worker.held:
            raise NotServed(f"{wish.display} is not being served yet")
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.there.wait()
                if worker.channel is None:
                    raise Gone("the process has ended")
                return Frozen.from_json(await worker.channel.call("freeze", wish=wish.to_json()))
        except (Gone, Remote, TimeoutError) as error:
            raise NotServed(f"the process that serves {wish.display} is being started again") from error

    async def drop(self, id: str) -> None:
        for worker in self.workers:
            held = worker.held.pop(id, None)
            if held is None:
                continue
            held.listening.close()
            self._names.pop(server_name(held.wish.namespace, held.wish.name), None)
            self.shared.sites.remove(held.wish.namespace, held.wish.name, 0)
            if worker.channel is not None:
                with contextlib.suppress(Gone):
                    await worker.channel.call("drop", id=id)

    async def forget(self, id: str) -> None:
        self._namespaces.pop(id, None)
        self._table.remove(id)
        await self._table.saved(self.shared.executor)

    async def _send(self, worker: Worker, held: Held) -> int:
        """Give the worker the cluster's socket and have it served."""
        channel = worker.channel
        while channel is not None and not channel.post(held.listening.fileno(), listen=held.wish.id):
            await asyncio.sleep(0.01)
            channel = worker.channel
        if channel is None:
            raise Gone("the process has ended")
        return int(await channel.call("serve", wish=held.wish.to_json()))

    # -- connections on the common address --------------------------------------------------------------------------

    def elsewhere(self, name: str, accepted: socket.socket) -> bool:
        """Hand a connection whose ClientHello names a worker's cluster over to it. False: it is for nobody there."""
        worker = self._names.get(name)
        if worker is None:
            return False
        return worker.channel is not None and worker.channel.post(accepted.fileno(), adopt=True)

    # -- processes --------------------------------------------------------------------------------------------------

    async def start(self, supervisor: Supervisor, existing: Iterable[tuple[str, str, str]]) -> None:
        """Start all. `existing`: (id, namespace, name) of the clusters that there are, so that each worker looks at
        their part of the host from the beginning."""
        for id, namespace, name in existing:
            self._table.of(id)
            self._namespaces[id] = host_namespace(namespace, name)
        await self._introduce()
        self.shared.server.listen_unix(str(self._host_socket))
        self.shared.server.elsewhere = self.elsewhere
        self.shared.metrics.add(self.families)
        self.shared.metrics.elsewhere = lambda: [usage for worker in self.workers for usage in worker.usages]
        for worker in self.workers:
            supervisor.spawn(self._keep(worker), name=f"worker {worker.number}")
        async with asyncio.timeout(PATIENCE):
            for worker in self.workers:
                await worker.there.wait()

    async def _keep(self, worker: Worker) -> None:
        """Have the worker run, again and again."""
        try:
            await self._run(worker)
        finally:
            worker.gone.set()

    async def _run(self, worker: Worker) -> None:
        failures = 0
        while not self._ending.is_set():
            began = self.shared.clock.monotonic()
            worker.starts += 1
            try:
                await self._live(worker)
            except (OSError, Gone) as error:
                log.error("worker failed", worker=worker.number, error=str(error))
            if self._ending.is_set():
                return
            failures = 1 if self.shared.clock.monotonic() - began > STEADY else failures + 1
            delay = RESTART.delay(failures, self._random)
            log.error("worker has ended; starting it again", worker=worker.number, seconds=round(delay, 2))
            await self.shared.clock.sleep(delay)

    async def _live(self, worker: Worker) -> None:
        """One life of a worker: start it, tell it everything, wait for its end."""
        stream, parcels = socket.socketpair(), socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        passed = (stream[1].fileno(), parcels[1].fileno(), self._lock)
        try:
            process = _start(passed)
        finally:
            stream[1].close()
            parcels[1].close()
        channel = Channel(stream[0], parcels[0], self._handler(worker), _no_parcels)
        await channel.open()
        worker.pid = process.pid
        token = self._tokens.give(worker.number)
        talking = asyncio.ensure_future(channel.run())
        try:
            await self._begin(worker, channel, token, talking)
            worker.channel = channel
            worker.there.set()
            if worker.starts > 1:
                await asyncio.gather(*(self._again(worker, held) for held in list(worker.held.values())))
            await asyncio.shield(talking)
        finally:
            worker.there.clear()
            worker.channel, worker.counts, worker.usages = None, {}, []
            self._tokens.take(token)
            channel.close()
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, _end, process))
            await asyncio.wait([talking])

    async def _begin(self, worker: Worker, channel: Channel, token: str, talking: asyncio.Future[None]) -> None:
        """Tell a new process about the fleet, and wait until it knows the host. Raises Gone if it ends instead."""
        begin = channel.call(
            "begin",
            data_dir=str(self.shared.data_dir.root),
            bind=self.shared.bind,
            host_socket=str(self._host_socket),
            socket=str(worker.socket),
            token=token,
            park_after=self._park_after,
            namespaces=[self._namespaces[id] for id in self._table.ids(worker.number) if id in self._namespaces],
        )
        asked = asyncio.ensure_future(begin)
        await asyncio.wait([asked, talking], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        if not asked.done():
            asked.cancel()
            raise Gone("it did not begin")
        asked.result()

    async def _introduce(self) -> None:
        """From now on the host knows the workers by their tokens, and what they may do."""
        served, clock = self._host.cluster.served, self.shared.clock
        assert served.ports.tokens is not None
        served.authenticator = credentials.authenticator(served.ports.tokens, clock, [self._tokens])
        await worker_role.install(self._host.cluster.client)

    async def _again(self, worker: Worker, held: Held) -> None:
        """Serve a cluster in the worker's next life."""
        try:
            await self._send(worker, held)
        except Gone:
            return
        except (StoreError, DataDirError, Remote) as error:
            log.error("cluster cannot be opened", cluster=held.wish.display, error=str(error))
            self.on_failure(held.wish)

    def _handler(self, worker: Worker) -> Callable[[str, dict[str, Any]], Any]:
        async def handle(ask: str, arguments: dict[str, Any]) -> None:
            if ask == "counts":
                worker.usages = [Usage(*one) for one in arguments.pop("usages")]
                worker.counts = arguments
            elif ask == "failed":
                self.on_failure(Wish.from_json(arguments["wish"]))
            elif ask == "layers":
                self.on_layers(arguments["id"], frozenset(arguments["layers"]))

        return handle

    async def end(self) -> None:
        """Have all workers end in order."""
        self._ending.set()
        for worker in self.workers:
            if worker.channel is not None:
                worker.channel.tell("end")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(worker.gone.wait() for worker in self.workers))
        for worker in self.workers:
            await worker.transport.aclose()
            for held in worker.held.values():
                held.listening.close()

    # -- metrics ----------------------------------------------------------------------------------------------------

    def families(self) -> Iterator[Metric]:
        """What the workers reported, by worker."""
        one = ("worker",)
        requests = CounterMetricFamily("kloster_worker_requests", "Requests to a worker's clusters.", labels=one)
        cpu = CounterMetricFamily("kloster_worker_cpu_seconds", "Time that they took.", labels=one)
        memory = GaugeMetricFamily("kloster_worker_memory_bytes", "Memory of a worker's process.", labels=one)
        restarts = CounterMetricFamily("kloster_worker_restarts", "Times that it was started again.", labels=one)
        lag = GaugeMetricFamily("kloster_worker_loop_lag_seconds", "How late its event loop was.", labels=one)
        states = GaugeMetricFamily(
            "kloster_served_clusters", "Clusters that are served, by state.", labels=("worker", "state")
        )
        for worker in self.workers:
            number, counts = (str(worker.number),), worker.counts
            requests.add_metric(number, counts.get("requests", 0))
            cpu.add_metric(number, counts.get("cpu", 0))
            memory.add_metric(number, counts.get("memory", 0))
            restarts.add_metric(number, max(0, worker.starts - 1))
            lag.add_metric(number, counts.get("lag", 0))
            awake = counts.get("awake", 0)
            states.add_metric((*number, "awake"), awake)
            states.add_metric((*number, "parked"), counts.get("clusters", 0) - awake)
        yield from (requests, cpu, memory, restarts, lag, states)


def _no_parcels(_: dict[str, Any], descriptor: int) -> None:
    """Workers send none."""
    os.close(descriptor)


def _start(passed: tuple[int, int, int]) -> subprocess.Popen[bytes]:
    """A worker process with its ends of the channel, and the lock. Forking takes a millisecond."""
    command = [sys.executable, "-m", "kloster.fleet.worker", *map(str, passed[:2])]
    return subprocess.Popen(command, pass_fds=passed, stdin=subprocess.DEVNULL, cwd="/")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait, in a thread, for a process that has hung up; one that does not end is killed."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def running(
    shared: Shared, host: EmbeddedHost, count: int, park_after: float, lock: int
) -> AsyncIterator[Workers]:
    """`count` workers for the clusters of `host`. `lock` is the descriptor of the data directory's lock: it stays held
    until the last of them has ended."""
    async with Supervisor() as supervisor:
        workers = Workers(shared, host, count, park_after, lock)
        present = [one["metadata"] for one in host.cluster.source.list(VIRTUAL_CLUSTERS)]
        try:
            await workers.start(supervisor, [(one["uid"], one["namespace"], one["name"]) for one in present])
            yield workers
        finally:
            await workers.end()
            shared.data_dir.forget_sockets()
