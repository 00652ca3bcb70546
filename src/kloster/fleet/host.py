"""The embedded host: a cluster like any other that happens to have nodes, a scheduler, and the VirtualCluster API."""

from __future__ import annotations

from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.cluster import Settings
from kloster.apiserver.http.listeners import Listener
from kloster.apiserver.http.sites import LazySite
from kloster.client.client import Client
from kloster.client.inprocess import InProcessTransport
from kloster.client.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, PERSISTENT_VOLUME_CLAIMS, SECRETS
from kloster.controllers import HOST_TABLE, select
from kloster.fleet import addresses, kubeconfig
from kloster.fleet.assembly import Assembled, assemble
from kloster.fleet.credentials import GUEST
from kloster.fleet.datadir import write_bytes
from kloster.fleet.lifecycle import create
from kloster.fleet.ports import Ports
from kloster.fleet.reconciler import url
from kloster.fleet.shared import Shared
from kloster.fleet.spec import LATEST
from kloster.fleet.virtualcluster import VIRTUAL_CLUSTERS, definition
from kloster.kinds.catalog import catalog
from kloster.nodes.node import Node, NodeConfig, agent_controller, heartbeat_controller
from kloster.nodes.references import Lookup
from kloster.nodes.simulated.connector import SimulatedConnector
from kloster.nodes.simulated.executor import SimulatedExecutor
from kloster.nodes.simulated.volumes import volume_controllers
from kloster.scheduler.loop import scheduler_controller
from kloster.scheduler.snapshot import Snapshot
from kloster.syncer.hub import HostHub

ID = "host"
CONTEXT = "kloster-host"
RUNTIME = "simulated://"


@dataclass(slots=True)
class EmbeddedHost:
    """The host cluster, its nodes, and the hub through which syncers see it."""

    cluster: Assembled
    site: LazySite
    port: int
    listener: Listener
    snapshot: Snapshot
    hub: HostHub

    async def close(self) -> None:
        server = self.cluster.shared.server
        server.stop_listening(self.listener)
        await server.close_site(self.site.name)
        self.hub.close()
        self.snapshot.close()
        await self.cluster.close()


async def start(shared: Shared, ports: Ports, nodes: int) -> EmbeddedHost:
    """Bring the host up with `nodes` simulated nodes. Raises StoreBroken, DataDirError, PortTaken."""
    settings = Settings()
    made = await create.load_or_make_record(shared, ID, "", "host", LATEST, settings)
    cluster = await assemble(shared, made, settings, SimulatedConnector())
    try:
        return await _start(shared, ports, cluster, nodes)
    except BaseException:
        await cluster.close()
        raise


async def _start(shared: Shared, ports: Ports, cluster: Assembled, nodes: int) -> EmbeddedHost:
    cluster.served.ports.metrics = shared.metrics.exposition  # who may see the host's may see the fleet's
    site = LazySite(cluster.record.display, cluster.handler, cluster.record.identity.material)
    shared.sites.set_common(LazySite("common", cluster.handler, cluster.record.identity.common_material))
    listening = addresses.bind(shared.bind, ports, ID)
    port = int(listening.getsockname()[1])
    shared.sites.add("", "host", port, site)
    listener = shared.server.listen_bound(listening)
    _write_admin(shared, cluster, port)
    await _install(cluster.client, definition())
    snapshot = Snapshot(cluster.source)
    machines = _nodes(shared, cluster, nodes)
    guest = Client(InProcessTransport(cluster.handler, GUEST), user_agent="kloster-syncer")
    hub = HostHub(guest, cluster.source)
    cluster.attach(
        [
            *select(["*"]),
            *HOST_TABLE,
            heartbeat_controller(machines),
            scheduler_controller(snapshot),
            agent_controller(machines),
            *volume_controllers(),
        ]
    )
    await _served(cluster)
    return EmbeddedHost(cluster, site, port, listener, snapshot, hub)


def _nodes(shared: Shared, cluster: Assembled, count: int) -> dict[str, Node]:
    """Simulated nodes, each with a /24 of 10.244.0.0/16 for its pods."""

    def lookup(namespace: str) -> Lookup:
        resources = {
            "configmap": CONFIG_MAPS,
            "secret": SECRETS,
            "persistentvolumeclaim": PERSISTENT_VOLUME_CLAIMS,
        }
        return lambda kind, name: cluster.source.get(resources[kind], namespace, name)

    made = {}
    for number in range(1, count + 1):
        config = NodeConfig(
            f"node-{number}",
            f"172.18.{number // 250}.{number % 250 + 1}",
            f"10.{128 + number // 16}.{number % 16 * 16}.0/20",
            RUNTIME,
            catalog(cluster.record.minor).git_version,
        )
        executor = SimulatedExecutor(shared.clock, config.pod_cidr, config.ip, lookup)
        made[config.name] = Node(config, executor)
    return made


def _write_admin(shared: Shared, cluster: Assembled, port: int) -> None:
    """``admin.conf`` in the data directory: what the commands use."""
    server = url(shared.bind, port)
    document = kubeconfig.admin(CONTEXT, server, cluster.record.identity, shared.clock.now())
    write_bytes(shared.data_dir.admin_kubeconfig, kubeconfig.dump(document).encode())


async def _install(client: Client, crd: Object) -> None:
    """Create the definition, or bring it up to date."""
    try:
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd, field_manager="kloster")
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        await client.apply(CUSTOM_RESOURCE_DEFINITIONS, crd, field_manager="kloster", force=True)


async def _served(cluster: Assembled) -> None:
    """The VirtualCluster API must be there before its controller is attached."""
    await cluster.client.list(VIRTUAL_CLUSTERS)
