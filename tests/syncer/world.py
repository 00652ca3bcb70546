"""A host and virtual clusters in one process, on virtual time: what the syncer is proved in.

The host has simulated nodes, the scheduler and all controllers, every virtual cluster has all controllers and a
syncer, as `kloster.fleet` puts them together; only the stores are in memory. Nothing sleeps: `settle` lets
everybody finish what can be done now and moves the clock from timer to timer.

Every request that the syncer makes is counted at the transports (`Counter`), and can be made to fail, before or after
it was carried out (`Fault`).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.controllers.world import SeededRandom

from kloster.aio.clock import VirtualClock
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import bootstrap, pipeline
from kloster.apiserver.authorization.escalation import Escalation
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.apiserver.cluster import Ports, ServedCluster, Settings
from kloster.apiserver.forms import FormCache
from kloster.client.api import Resource
from kloster.client.client import Client
from kloster.client.inprocess import InProcessTransport
from kloster.client.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS
from kloster.client.sources import LiveSource
from kloster.client.transport import Request, Response, User
from kloster.controllers import HOST_TABLE, select
from kloster.fleet import credentials, identity, templates
from kloster.fleet.credentials import GUEST, MASTER
from kloster.kinds.catalog import catalog
from kloster.nodes.node import Node, NodeConfig, agent_controller, heartbeat_controller
from kloster.nodes.references import Lookup
from kloster.nodes.simulated.connector import SimulatedConnector
from kloster.nodes.simulated.executor import SimulatedExecutor, Timings
from kloster.nodes.simulated.volumes import volume_controllers
from kloster.runtime.api import Context, Controller
from kloster.runtime.dispatcher import Attachment, Dispatcher
from kloster.runtime.recorder import EventRecorder
from kloster.scheduler.loop import scheduler_controller
from kloster.scheduler.snapshot import Snapshot
from kloster.stores.api import Entry
from kloster.stores.layers import Layer
from kloster.stores.memory import MemoryStore
from kloster.syncer.connector import HostConnector
from kloster.syncer.controllers import CROSSING, syncer_controllers
from kloster.syncer.engine import Syncer
from kloster.syncer.hub import HostHub
from kloster.syncer.names import CLUSTER, Tenancy

MINOR = "1.34"
TENANT = User("tenant", groups=("system:masters", "system:authenticated"))
EVERYTHING = frozenset((*CROSSING, "events", "nodes", "storageClasses"))
READING = ("GET",)


class Crash(Exception):
    """The process ends here (as far as the syncer can tell)."""


@dataclass
class Counter:
    """Writes that went through a transport, as ``METHOD path``."""

    writes: list[str] = field(default_factory=list)


@dataclass
class Fault:
    """Ends the syncer at its `at`-th write: before it is sent, or after it took effect but before the answer came."""

    at: int
    after: bool
    seen: int = 0
    hit: bool = False


class Watched:
    """A transport that counts writes and fails on demand. Requests of a crashed syncer never arrive."""

    def __init__(self, inner: InProcessTransport, counter: Counter, fault: Fault | None = None) -> None:
        self._inner = inner
        self._counter = counter
        self._fault = fault

    async def __call__(self, request: Request) -> Response:
        if request.method in READING:
            return await self._inner(request)
        fault, bites = self._fault, False
        if fault is not None:
            if fault.hit:
                raise Crash
            fault.seen += 1
            bites = fault.seen == fault.at
            if bites and not fault.after:
                fault.hit = True
                raise Crash
        self._counter.writes.append(f"{request.method} {request.path}")
        response = await self._inner(request)
        if fault is not None and bites:
            fault.hit = True
            raise Crash
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


@functools.cache
def _template(minor: str) -> Layer:
    with ThreadPoolExecutor(1) as thread:  # it runs an event loop of its own
        return thread.submit(templates.build, minor, 1_700_000_000.0).result()


class Cluster:
    """One control plane in memory, with client helpers. `user` is the name under which tests act."""

    def __init__(self, world: World, name: str, served: ServedCluster, keys: identity.Identity) -> None:
        self.world = world
        self.name = name
        self.served = served
        self.handler = pipeline.handler(served)
        self.identity = keys
        self.client = Client(InProcessTransport(self.handler, TENANT), user_agent="kubectl")
        self.source = LiveSource(served.view)
        self.attachments: list[Attachment] = []

    def context(self, transport: Any = None) -> Context:
        clock, dispatcher = self.world.clock, self.world.dispatcher
        client = Client(transport or InProcessTransport(self.handler, MASTER), user_agent="kloster")
        recorder = EventRecorder(client, clock, dispatcher.spawn, component="kloster")
        settings = {
            "ca_bundle": self.identity.ca_bundle,
            "cluster_domain": "cluster.local",
            "service_cidr": self.served.settings.service_cidr,
            "version": self.served.catalog.git_version,
            "minor": self.served.catalog.minor,
        }
        return Context(self.name, client, self.source, recorder, clock, settings)

    def attach(self, controllers: Sequence[Controller]) -> Attachment:
        attachment = self.world.dispatcher.attach(self.context(), controllers)
        self.attachments.append(attachment)
        return attachment

    # -- what tests say -------------------------------------------------------------------------------------------

    async def create(self, resource: Resource, name: str, namespace: str = "default", **parts: Any) -> Object:
        metadata: Object = {"name": name, **parts.pop("metadata", {})}
        if resource.namespaced:
            metadata["namespace"] = namespace
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **parts}
        return await self.client.create(resource, body)

    async def namespace(self, name: str) -> None:
        """A namespace, with what its controllers put into it."""
        await self.create(NAMESPACES, name)
        await self.world.settle()

    async def pod(
        self, name: str, namespace: str = "default", *, metadata: Object | None = None, **spec: Any
    ) -> Object:
        spec.setdefault("containers", [{"name": "app", "image": "app:1"}])
        return await self.create(PODS, name, namespace, metadata=metadata or {}, spec=spec)

    async def find(self, resource: Resource, name: str, namespace: str = "default") -> Object | None:
        try:
            return await self.client.get(resource, namespace if resource.namespaced else "", name)
        except StatusError as error:
            assert error.code == 404, error
            return None

    async def get(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        return await self.client.get(resource, namespace if resource.namespaced else "", name)

    async def all(self, resource: Resource, namespace: str = "", **options: Any) -> list[Object]:
        return list((await self.client.list(resource, namespace, **options)).items)

    async def names(self, resource: Resource, namespace: str = "") -> list[str]:
        return sorted(item["metadata"]["name"] for item in await self.all(resource, namespace))

    async def patch(
        self, resource: Resource, name: str, patch: Any, namespace: str = "default", **options: Any
    ) -> Object:
        return await self.client.patch(resource, namespace if resource.namespaced else "", name, patch, **options)

    async def delete(self, resource: Resource, name: str, namespace: str = "default", **options: Any) -> None:
        await self.client.delete(resource, namespace if resource.namespaced else "", name, **options)

    async def events(self, reason: str = "", namespace: str = "") -> list[Object]:
        return [one for one in await self.all(EVENTS, namespace) if reason in ("", one.get("reason"))]


class Virtual(Cluster):
    """A virtual cluster: its syncer can be stopped and started."""

    tenancy: Tenancy
    policy: dict[str, Any]
    syncer: Syncer | None = None
    syncing: Attachment | None = None
    hub: HostHub | None = None

    def start_syncer(
        self, fault: Fault | None = None, enabled: Iterable[str] = EVERYTHING, counter: Counter | None = None
    ) -> None:
        """A new syncer, as after a restart: it knows nothing but the two clusters."""
        counter = counter or self.world.counter
        host = self.world.host
        host_client = Client(
            Watched(InProcessTransport(host.handler, GUEST), counter, fault), user_agent="kloster-syncer"
        )
        self.hub = HostHub(host_client, host.source)
        self.syncer = Syncer(self.hub, self.tenancy, self.policy)
        self.served.ports.nodes = HostConnector(self.hub, self.tenancy)
        context = self.context(Watched(InProcessTransport(self.handler, MASTER), counter, fault))
        controllers = syncer_controllers(self.syncer, frozenset(enabled))
        self.syncing = self.world.dispatcher.attach(context, controllers)

    async def stop_syncer(self) -> None:
        if self.syncing is not None:
            await self.world.dispatcher.detach(self.syncing)
            self.syncing = None
        if self.hub is not None:
            self.hub.close()
            self.hub = None

    def host_name(self, name: str, namespace: str = "default") -> str:
        return self.tenancy.name(name, namespace)

    async def host(self, resource: Resource, name: str, namespace: str = "default") -> Object | None:
        """The host object of a virtual object."""
        return await self.world.host.find(resource, self.host_name(name, namespace), self.tenancy.namespace)

    async def on_host(self, resource: Resource) -> list[Object]:
        """Everything of this cluster on the host."""
        found = await self.world.host.all(resource, self.tenancy.namespace)
        return [item for item in found if CLUSTER in (item["metadata"].get("labels") or {})]


class World:
    """The host, virtual clusters, time."""

    host: Cluster

    def __init__(self, clock: VirtualClock, dispatcher: Dispatcher) -> None:
        self.clock = clock
        self.dispatcher = dispatcher
        self.random = SeededRandom()
        self.forms = FormCache()
        self.counter = Counter()
        self.clusters: list[Cluster] = []
        self.snapshot: Snapshot | None = None

    async def _cluster(self, kind: type[Cluster], name: str, settings: Settings, minor: str = MINOR) -> Any:
        known = catalog(minor)
        store = MemoryStore([_template(minor)])
        served = ServedCluster(
            name,
            known,
            store,
            None,  # type: ignore[arg-type]
            settings=settings,
            clock=self.clock,
            random=self.random,
            forms=self.forms,
        )
        keys = identity.create(name, ("localhost",), self.clock.now())
        issued = credentials.tokens(keys, served.view, self.clock, settings.issuer)

        def decoded(entry: Entry) -> Object:
            found = served.view.object(entry)
            assert found is not None
            return found

        rbac = Rbac(StoredRoles(store, decoded))
        served.authenticator = credentials.authenticator(issued, self.clock)
        served.authorizer = credentials.authorizer(rbac)
        served.ports = Ports(tokens=issued, escalation=Escalation(rbac, served.authorizer))
        own = bootstrap.own(known, settings, self.random, self.clock.now(), client_ca=keys.ca_bundle)
        await store.transact(lambda _: own)
        cluster = kind(self, name, served, keys)
        self.clusters.append(cluster)
        return cluster

    async def start_host(self, nodes: int = 3, timings: Timings | None = None) -> None:
        self.host = await self._cluster(Cluster, "host", Settings(service_cidr="10.96.0.0/16"))
        self.host.served.ports.nodes = SimulatedConnector()
        self.snapshot = Snapshot(self.host.source)
        machines = self._nodes(nodes, timings)
        self.host.attach(
            [
                *select(["*"]),
                *HOST_TABLE,
                heartbeat_controller(machines),
                scheduler_controller(self.snapshot),
                agent_controller(machines),
                *volume_controllers(),
            ]
        )

    def _nodes(self, count: int, timings: Timings | None) -> dict[str, Node]:
        def lookup(namespace: str) -> Lookup:
            resources = {
                "configmap": CONFIG_MAPS,
                "secret": SECRETS,
                "persistentvolumeclaim": PERSISTENT_VOLUME_CLAIMS,
            }
            return lambda kind, name: self.host.source.get(resources[kind], namespace, name)

        made = {}
        for number in range(1, count + 1):
            config = NodeConfig(
                f"node-{number}", f"172.18.0.{number}", f"10.{127 + number}.0.0/20", "simulated://", "v1.34.4"
            )
            executor = SimulatedExecutor(self.clock, config.pod_cidr, config.ip, lookup, timings)
            made[config.name] = Node(config, executor)
        return made

    async def virtual(
        self, name: str, *, host_id: str = "", sync: bool = True, policy: dict[str, Any] | None = None
    ) -> Virtual:
        """A virtual cluster with its host namespace."""
        cluster: Virtual = await self._cluster(Virtual, name, Settings(service_cidr="10.96.0.0/16"))
        cluster.tenancy = Tenancy(host_id or f"id-of-{name}", name, f"vc-{name}")
        cluster.policy = policy or {}
        labels = {CLUSTER: cluster.tenancy.host_id}
        await self.host.create(NAMESPACES, cluster.tenancy.namespace, metadata={"labels": labels})
        cluster.attach(select(["*"]))
        if sync:
            cluster.start_syncer()
        await self.settle()
        return cluster

    async def settle(self, seconds: float = 3.0) -> None:
        """Let everybody finish, moving time from timer to timer for at most `seconds`."""
        end = self.clock.now() + seconds
        while True:
            await self.dispatcher.wait_idle()
            due = self._next_due()
            if due is None or due > end:
                break
            await self.clock.advance(max(0.0, due - self.clock.now()))
        await self.clock.advance(max(0.0, end - self.clock.now()))
        await self.dispatcher.wait_idle()

    def _next_due(self) -> float | None:
        attachments = [one for cluster in self.clusters for one in cluster.attachments]
        attachments += [one.syncing for one in self.clusters if isinstance(one, Virtual) and one.syncing is not None]
        return min((one.next_due for one in attachments if one.next_due is not None), default=None)

    async def close(self) -> None:
        for cluster in self.clusters:
            if isinstance(cluster, Virtual):
                await cluster.stop_syncer()
            for attachment in cluster.attachments:
                await self.dispatcher.detach(attachment)
        if self.snapshot is not None:
            self.snapshot.close()
        for cluster in self.clusters:
            cluster.served.close()
            await cluster.served.store.close()


Test = Callable[..., Awaitable[None]]


async def run(test: Callable[[World], Awaitable[None]], timeout: float = 100.0, **host: Any) -> None:
    clock = VirtualClock()
    async with asyncio.timeout(timeout), Dispatcher(clock, rng=random.Random(1)) as dispatcher:
        world = World(clock, dispatcher)
        await world.start_host(**host)
        await world.settle()
        try:
            await test(world)
        finally:
            await world.close()


def syncing(test: Test) -> Callable[..., None]:
    """Run an async test with a host and one virtual cluster, ``dev``: ``test(world, dev, …parameters)``."""

    @functools.wraps(test)
    def go(*args: Any, **kwargs: Any) -> None:
        async def body(world: World) -> None:
            await test(world, await world.virtual("dev"), *args, **kwargs)

        asyncio.run(run(body))

    # pytest must see the parameters beyond the first two, and only those
    signature = inspect.signature(test)
    go.__signature__ = signature.replace(parameters=list(signature.parameters.values())[2:])  # type: ignore[attr-defined]
    return go


def ready_nodes(nodes: Iterable[Object]) -> list[str]:
    return [one["metadata"]["name"] for one in nodes if one["status"].get("conditions")]


__all__ = ["NODES", "Cluster", "Counter", "Crash", "Fault", "Virtual", "World", "run", "syncing"]
