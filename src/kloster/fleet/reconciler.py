"""Does what VirtualCluster objects ask for: one controller on the host.

Level-triggered like every controller: it reads the object and what is there, and moves one step nearer. Open clusters
are its only memory; after a restart every VirtualCluster is reconciled once, which opens them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.cluster import NodeConnector, Settings
from kloster.client.api import Change
from kloster.client.resources import NAMESPACES, SECRETS
from kloster.fleet import kubeconfig
from kloster.fleet.assembly import Assembled
from kloster.fleet.datadir import DataDirError
from kloster.fleet.lifecycle import create, delete
from kloster.fleet.ports import NoPort, Ports
from kloster.fleet.shared import Shared
from kloster.fleet.spec import ClusterSpec, SpecError, parse
from kloster.fleet.virtualcluster import (
    FINALIZER,
    KUBECONFIG_SECRET_PREFIX,
    VIRTUAL_CLUSTERS,
    with_condition,
)
from kloster.kinds.catalog import catalog
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.stores.api import StoreBroken
from kloster.syncer.hub import HostHub
from kloster.syncer.names import Tenancy

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Fleet:
    """The virtual clusters of one host that this process serves.

    connector   gives the port through which a cluster's pods are reached for logs and exec
    """

    shared: Shared
    hub: HostHub
    ports: Ports
    connector: Callable[[Tenancy], NodeConnector | None]
    settings: Settings = field(default_factory=Settings)
    clusters: dict[str, Assembled] = field(default_factory=dict)
    known: dict[Key, str] = field(default_factory=dict)

    def controller(self) -> Controller:
        """The controller for the host's dispatcher attachment."""
        watches = (Watch(VIRTUAL_CLUSTERS), Watch(NAMESPACES, self._of_namespace, _going))
        return Controller("virtualcluster-controller", watches, self.reconcile)

    def _of_namespace(self, change: Change) -> Iterable[Key]:
        """A host namespace went: the deletion of its cluster can go on."""
        owner = (change.object["metadata"].get("annotations") or {}).get(create.OWNER, "")
        namespace, _, name = owner.partition("/")
        return [Key(namespace, name)] if name else []

    async def reconcile(self, context: Context, key: Key) -> Result | None:
        cluster = context.source.get(VIRTUAL_CLUSTERS, key.namespace, key.name)
        if cluster is None:
            await self._forget(key)
            return None
        if cluster["metadata"].get("deletionTimestamp"):
            return await self._delete(context, cluster)
        try:
            spec = parse(cluster.get("spec") or {})
        except SpecError as error:
            await self._refuse(context, cluster, "InvalidSpec", str(error))
            return None
        return await self._ensure(context, cluster, spec)

    async def close(self) -> None:
        """Stop serving; everything is kept."""
        for cluster in list(self.clusters.values()):
            await cluster.close()
        self.clusters.clear()

    # -- being there -----------------------------------------------------------------------------------------------

    async def _ensure(self, context: Context, cluster: Object, spec: ClusterSpec) -> Result | None:
        metadata = cluster["metadata"]
        if FINALIZER not in (metadata.get("finalizers") or ()):
            cluster = await self._add_finalizer(context, cluster)
        try:
            served = await self._open(context, cluster, spec)
        except (create.PortTaken, NoPort) as error:
            await self._refuse(context, cluster, "PortTaken", str(error))
            return Result(30.0)
        except (StoreBroken, DataDirError) as error:
            await self._refuse(context, cluster, "StoreBroken", str(error))
            return Result(300.0)
        except StatusError as error:
            if error.code != 409:
                raise
            await self._refuse(context, cluster, "HostConflict", error.message)
            return Result(10.0)
        await self._publish_kubeconfig(context, cluster, served)
        await self._report(context, cluster, served, spec)
        return None

    async def _open(self, context: Context, cluster: Object, spec: ClusterSpec) -> Assembled:
        metadata = cluster["metadata"]
        id, namespace, name = metadata["uid"], metadata["namespace"], metadata["name"]
        served = self.clusters.get(id)
        if served is not None:
            return served
        tenancy = self._tenancy(cluster)
        made = await create.load_or_make_record(self.shared, id, namespace, name, spec.minor, self.settings)
        await create.ensure_host_namespace(context.client, tenancy, cluster, spec)
        served = await create.open_cluster(
            self.shared, self.hub, tenancy, made, spec, self.settings, self.connector(tenancy)
        )
        try:
            create.listen(served, self.ports)
        except BaseException:
            await served.close()
            raise
        self.clusters[id] = served
        self.known[Key(namespace, name)] = id
        log.info("cluster open", cluster=made.display, version=made.minor, port=served.port)
        return served

    def _tenancy(self, cluster: Object) -> Tenancy:
        metadata = cluster["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        display = name if namespace == "default" else f"{name}-{namespace}"
        return Tenancy(metadata["uid"], display, create.host_namespace(namespace, name))

    async def _add_finalizer(self, context: Context, cluster: Object) -> Object:
        metadata = cluster["metadata"]
        patch = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [*(metadata.get("finalizers") or ()), FINALIZER],
            }
        }
        return await context.client.patch(VIRTUAL_CLUSTERS, metadata["namespace"], metadata["name"], patch)

    async def _publish_kubeconfig(self, context: Context, cluster: Object, served: Assembled) -> None:
        """The Secret ``kubeconfig-NAME`` beside the VirtualCluster, owned by it."""
        metadata = cluster["metadata"]
        name = KUBECONFIG_SECRET_PREFIX + metadata["name"]
        present = context.source.get(SECRETS, metadata["namespace"], name)
        owner = {
            "apiVersion": "kloster.dev/v1alpha1",
            "kind": "VirtualCluster",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        if present is not None:
            if any(one["uid"] == metadata["uid"] for one in present["metadata"].get("ownerReferences") or ()):
                return
            raise StatusError(409, "Conflict", f'the Secret "{name}" exists and does not belong to this cluster')
        document = kubeconfig.admin(metadata["name"], endpoint(served), served.record.identity, context.clock.now())
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": metadata["namespace"], "ownerReferences": [owner]},
            "type": "kloster.dev/kubeconfig",
            "stringData": {"config": kubeconfig.dump(document)},
        }
        await context.client.create(SECRETS, body)

    async def _report(self, context: Context, cluster: Object, served: Assembled, spec: ClusterSpec) -> None:
        now = context.clock.now()
        warned = bool(spec.warnings)
        accepted = with_condition(
            cluster,
            "Accepted",
            True,
            "AcceptedWithWarnings" if warned else "Accepted",
            "\n".join(spec.warnings) if warned else "the spec is honoured as it stands",
            now,
        )
        changed = {**cluster, "status": {**(cluster.get("status") or {}), "conditions": accepted}}
        status: dict[str, Any] = {
            "phase": "Ready",
            "version": catalog(served.record.minor).git_version,
            "endpoint": endpoint(served),
            "port": served.port,
            "hostNamespace": self._tenancy(cluster).namespace,
            "observedGeneration": cluster["metadata"].get("generation", 1),
            "conditions": with_condition(changed, "Ready", True, "Serving", "the API is being served", now),
        }
        if spec.context:
            status["context"] = spec.context
        if served.record.minor != spec.minor:
            text = f"the cluster is {served.record.minor}; changing the version of a cluster is not supported"
            status["conditions"] = with_condition(
                {**cluster, "status": status}, "Accepted", False, "VersionFixed", text, now
            )
        await _write_status(context, cluster, status)

    async def _refuse(self, context: Context, cluster: Object, reason: str, message: str) -> None:
        """Say why the cluster is not there."""
        now = context.clock.now()
        status = {
            **(cluster.get("status") or {}),
            "phase": "Failed",
            "observedGeneration": cluster["metadata"].get("generation", 1),
            "conditions": with_condition(cluster, "Ready", False, reason, message, now),
        }
        await _write_status(context, cluster, status)
        log.warning("cluster refused", cluster=cluster["metadata"]["name"], reason=reason, message=message)

    # -- going ------------------------------------------------------------------------------------------------------

    async def _delete(self, context: Context, cluster: Object) -> Result | None:
        metadata = cluster["metadata"]
        if FINALIZER not in (metadata.get("finalizers") or ()):
            return None
        served = self.clusters.pop(metadata["uid"], None)
        if served is not None:
            await served.close()
        if not await delete.delete_host_namespace(context.client, self._tenancy(cluster)):
            return Result(1.0)
        await delete.remove_state(self.shared, self.ports, metadata["uid"], None)
        self.known.pop(Key(metadata["namespace"], metadata["name"]), None)
        left = [one for one in metadata["finalizers"] if one != FINALIZER]
        patch = {"metadata": {"uid": metadata["uid"], "finalizers": left}}
        await context.client.patch(VIRTUAL_CLUSTERS, metadata["namespace"], metadata["name"], patch)
        log.info("cluster deleted", cluster=f"{metadata['namespace']}/{metadata['name']}")
        return None

    async def _forget(self, key: Key) -> None:
        """The object vanished without its finalizer having been honoured: stop serving, keep the files."""
        id = self.known.pop(key, None)
        served = self.clusters.pop(id, None) if id is not None else None
        if served is not None:
            await served.close()


def _going(change: Change) -> bool:
    return change.new is None


def endpoint(served: Assembled) -> str:
    """The URL of the cluster's own port."""
    bind = served.shared.bind
    host = "127.0.0.1" if bind in ("0.0.0.0", "::") else bind
    return f"https://[{host}]:{served.port}" if ":" in host else f"https://{host}:{served.port}"


async def _write_status(context: Context, cluster: Object, status: dict[str, Any]) -> None:
    if status == (cluster.get("status") or {}):
        return
    metadata = cluster["metadata"]
    patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
    await context.client.patch(VIRTUAL_CLUSTERS, metadata["namespace"], metadata["name"], patch, subresource="status")
