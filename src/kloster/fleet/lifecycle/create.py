"""A cluster is created, or opened again after a restart.

    identity (keys, certificates) ─▶ record on disk ─▶ host namespace ─▶ assemble ─▶ controllers and syncer ─▶ port

The record is written before anything else exists, so that whatever a crash leaves is found and finished, or deleted,
by the next reconciliation of the same VirtualCluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import bootstrap
from kloster.apiserver.cluster import NodeConnector, Settings
from kloster.apiserver.http.listeners import AddressInUse
from kloster.client.client import Client
from kloster.client.resources import NAMESPACES
from kloster.controllers import select
from kloster.fleet import identity, record, sites
from kloster.fleet.assembly import Assembled, assemble
from kloster.fleet.ports import Ports
from kloster.fleet.shared import Shared
from kloster.fleet.spec import ClusterSpec
from kloster.syncer.controllers import syncer_controllers
from kloster.syncer.engine import Syncer
from kloster.syncer.hub import HostHub
from kloster.syncer.names import CLUSTER, LONGEST, Tenancy, join

OWNER = "kloster.dev/virtualcluster"


class PortTaken(Exception):
    """A known cluster's port belongs to somebody else now."""


def host_namespace(namespace: str, name: str) -> str:
    """The host namespace that holds a cluster's objects."""
    plain = f"vc-{name}" if namespace == "default" else f"vc-{name}-x-{namespace}"
    return plain if len(plain) <= LONGEST and "-x-" not in name + namespace else join(f"vc-{name}", namespace)


def serving_names(namespace: str, name: str, settings: Settings) -> tuple[str, ...]:
    """What the serving certificate is for."""
    inside = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    return (
        sites.server_name(namespace, name) if namespace else "kloster-host",
        "localhost",
        "127.0.0.1",
        "::1",
        *inside,
        f"kubernetes.default.svc.{settings.cluster_domain}",
        bootstrap.service_address(settings),
    )


async def load_or_make_record(
    shared: Shared, id: str, namespace: str, name: str, minor: str, settings: Settings
) -> record.Record:
    """The cluster's record from disk; a new one, written durably, if there is none."""
    directory = shared.data_dir.cluster(id)
    found = record.load(directory)
    if found is not None:
        return found
    template = await shared.templates.get(minor)
    keys = identity.create(name, serving_names(namespace, name, settings), shared.clock.now())
    made = record.Record(id, namespace, name, minor, (template.id,), keys)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    await asyncio.get_running_loop().run_in_executor(shared.executor, record.save, directory, made)
    return made


async def ensure_host_namespace(host: Client, tenancy: Tenancy, cluster: Object, spec: ClusterSpec) -> None:
    """The namespace on the host. One that exists and is not this cluster's is never taken over (StatusError 409)."""
    labels = {CLUSTER: tenancy.host_id}
    annotation = f"{cluster['metadata']['namespace']}/{cluster['metadata']['name']}"
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": tenancy.namespace,
            "labels": {**labels, "pod-security.kubernetes.io/enforce": spec.pod_security},
            "annotations": {OWNER: annotation},
        },
    }
    try:
        await host.create(NAMESPACES, body)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        present = await host.get(NAMESPACES, "", tenancy.namespace)
        if (present["metadata"].get("labels") or {}).get(CLUSTER) != tenancy.host_id:
            raise StatusError(
                409,
                "Conflict",
                f'the host already has a namespace "{tenancy.namespace}" that does not belong to this cluster; '
                "delete it or choose another name",
            ) from error


async def open_cluster(
    shared: Shared,
    hub: HostHub,
    tenancy: Tenancy,
    made: record.Record,
    spec: ClusterSpec,
    settings: Settings,
    nodes: NodeConnector | None,
) -> Assembled:
    """Serve the cluster: everything but its port."""
    cluster = await assemble(shared, made, settings, nodes)
    syncer = Syncer(hub, tenancy, policy(spec))
    cluster.attach([*select(spec.controllers), *syncer_controllers(syncer, spec.to_host | spec.from_host)])
    return cluster


def policy(spec: ClusterSpec) -> Mapping[str, object]:
    """What translators need to know of the spec."""
    return {"podSecurityStandard": spec.pod_security}


def listen(cluster: Assembled, ports: Ports) -> None:
    """Serve on the cluster's remembered port, or on the next free one. Raises PortTaken, NoPort."""
    known = ports.get(cluster.record.id)
    if known is not None:
        try:
            cluster.listen(known)
        except AddressInUse as error:
            raise PortTaken(f"port {known}, which this cluster's kubeconfigs name, is taken: {error}") from error
        return
    for candidate in ports.candidates():
        try:
            cluster.listen(candidate)
        except AddressInUse:
            continue
        ports.assign(cluster.record.id, candidate)
        return
    raise PortTaken("no port could be opened for this cluster")
