"""Does what VirtualCluster objects ask for: one controller on the host.

Level-triggered like every controller: it reads the object and what is there, and moves one step nearer. It knows what
there must be (record, host namespace, address, kubeconfig, status); serving is the business of a shard. After a restart
every VirtualCluster is reconciled once, which has them served again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.cluster import Settings
from kloster.client.api import Change, Source
from kloster.client.errors import ClientError
from kloster.client.resources import NAMESPACES, SECRETS
from kloster.fleet import addresses, kubeconfig, reports
from kloster.fleet.addresses import PortTaken
from kloster.fleet.branches import Branches, ForkError
from kloster.fleet.datadir import DataDirError
from kloster.fleet.layerfiles import LayerFiles
from kloster.fleet.lifecycle import create, delete
from kloster.fleet.lifecycle.fork import Frozen
from kloster.fleet.ports import NoPort, Ports
from kloster.fleet.record import Record
from kloster.fleet.shared import Shared
from kloster.fleet.sites import server_name
from kloster.fleet.spec import SpecError
from kloster.fleet.virtualcluster import (
    FINALIZER,
    KUBECONFIG_SECRET_PREFIX,
    VIRTUAL_CLUSTERS,
    with_condition,
)
from kloster.fleet.wish import Wish, tenancy
from kloster.kinds import names
from kloster.kinds.catalog import catalog
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.stores.api import StoreError

log = structlog.get_logger(__name__)


class Serving(Protocol):
    """Where clusters are served: this process (`shard.Shard`), or its workers."""

    async def serve(self, wish: Wish, listening: Callable[[], socket.socket]) -> int:
        """See to it that the cluster is served as wished. Returns its port. Raises StoreError, DataDirError."""
        ...

    async def drop(self, id: str) -> None:
        """Serve the cluster no longer. Idempotent."""
        ...

    async def forget(self, id: str) -> None:
        """The cluster is deleted."""
        ...

    async def freeze(self, wish: Wish) -> Frozen:
        """The cluster's state of now as layers. Raises StoreError."""
        ...

    def report_layers(self, told: Callable[[str, frozenset[str]], None]) -> None:
        """Call `told` with a cluster's ID and all layers that it needs when it has come to stand on others."""
        ...


@dataclass(slots=True)
class Fleet:
    """The virtual clusters of one host.

    common    the URL of the address that all clusters share
    """

    shared: Shared
    ports: Ports
    serving: Serving
    settings: Settings
    common: str
    known: dict[Key, str] = field(default_factory=dict)
    branches: Branches = field(init=False)
    _enqueue: Callable[[Key], None] = field(default=lambda key: None)
    _unseen: set[Key] = field(default_factory=set)
    _all_seen: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        files = LayerFiles(self.shared.data_dir, self.shared.executor)
        self.branches = Branches(self.shared, self.serving, files, self.settings)
        self.serving.report_layers(self.branches.restacked)

    def controller(self) -> Controller:
        """The controller for the host's dispatcher attachment."""
        watches = (Watch(VIRTUAL_CLUSTERS), Watch(NAMESPACES, self._of_namespace, _going))
        return Controller("virtualcluster-controller", watches, self.reconcile, start=self._start)

    def look_at(self, wish: Wish) -> None:
        """Something has happened to a cluster that its object must tell."""
        self._enqueue(Key(wish.namespace, wish.name))

    def _start(self, _: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
        self._enqueue = enqueue
        return lambda: None

    def _of_namespace(self, change: Change) -> Iterable[Key]:
        """A host namespace went: the deletion of its cluster can go on."""
        owner = (change.object["metadata"].get("annotations") or {}).get(create.OWNER, "")
        namespace, _, name = owner.partition("/")
        return [Key(namespace, name)] if name else []

    async def wait_seen(self, source: Source, timeout: float = 60.0) -> None:
        """Wait until every VirtualCluster that there is has been reconciled once, well or not."""
        await self.branches.layers.look()
        self._unseen = {
            Key(one["metadata"]["namespace"], one["metadata"]["name"]) for one in source.list(VIRTUAL_CLUSTERS)
        }
        self._all_seen.clear()
        if self._unseen:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_seen.wait(), timeout)

    async def reconcile(self, context: Context, key: Key) -> Result | None:
        try:
            return await self._reconcile(context, key)
        finally:
            if self._unseen:
                self._unseen.discard(key)
                if not self._unseen:
                    self._all_seen.set()

    async def _reconcile(self, context: Context, key: Key) -> Result | None:
        cluster = context.source.get(VIRTUAL_CLUSTERS, key.namespace, key.name)
        if cluster is None:
            await self._forget(key)
            return None
        if cluster["metadata"].get("deletionTimestamp"):
            return await self._delete(context, cluster)
        found = names.label(key.name)
        if found:
            await self._refuse(
                context, cluster, "InvalidName", f'metadata.name: Invalid value: "{key.name}": {found[0]}'
            )
            return None
        try:
            wish = Wish.of(cluster)
        except SpecError as error:
            await self._refuse(context, cluster, "InvalidSpec", str(error))
            return None
        try:
            return await self._ensure(context, cluster, wish)
        except (StatusError, ClientError):
            raise
        except Exception as error:
            text = f"unexpected {type(error).__name__}; the fleet's log says more, and it is tried again"
            await self._refuse(context, cluster, "InternalError", text)
            raise

    # -- being there -----------------------------------------------------------------------------------------------

    async def _ensure(self, context: Context, cluster: Object, wish: Wish) -> Result | None:
        if FINALIZER not in (cluster["metadata"].get("finalizers") or ()):
            cluster = await self._add_finalizer(context, cluster)
        try:
            self.known[Key(wish.namespace, wish.name)] = wish.id
            if not await self._reset(context, cluster, wish):
                return Result(1.0)
            made, _ = await asyncio.gather(
                self.branches.load_or_make(context.source, wish),
                create.ensure_host_namespace(context.client, wish),
            )
            port = await self.serving.serve(wish, lambda: addresses.bind(self.shared.bind, self.ports, wish.id))
            await self.ports.saved(self.shared.executor)
            await self._publish_kubeconfig(context, cluster, made, port)
        except ForkError as error:
            await self._refuse(context, cluster, error.reason, str(error))
            return Result(error.after)
        except (PortTaken, NoPort) as error:
            await self._refuse(context, cluster, "PortTaken", str(error))
            return Result(30.0)
        except (StoreError, DataDirError, OSError) as error:
            await self._refuse(context, cluster, "StoreBroken", str(error))
            return Result(60.0)
        except StatusError as error:
            if error.code != 409:
                raise
            await self._refuse(context, cluster, "HostConflict", error.message)
            return Result(10.0)
        await self._report(context, cluster, wish, made, port)
        return None

    async def _reset(self, context: Context, cluster: Object, wish: Wish) -> bool:
        """Go back to the state at the fork, if that is asked for and not done yet.

        False: it was begun, and what the cluster has on the host is still going.
        """
        if not wish.reset or (cluster.get("status") or {}).get("reset") == wish.reset:
            return True
        made = await self.branches.load_or_make(context.source, wish)
        if made.origin is None or made.reset == wish.reset:
            return True
        await self.serving.drop(wish.id)
        await self._refuse(context, cluster, "Resetting", "going back to the state at its fork", phase="Resetting")
        if not await delete.delete_host_namespace(context.client, wish.tenancy):
            return False
        await self.branches.reset(wish, made)
        return True

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

    async def _publish_kubeconfig(self, context: Context, cluster: Object, made: Record, port: int) -> None:
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
        server = url(self.shared.bind, port)
        ahead = made.origin.ahead if made.origin is not None else 0.0
        document = kubeconfig.admin(metadata["name"], server, made.identity, context.clock.now(), ahead)
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": metadata["namespace"], "ownerReferences": [owner]},
            "type": "kloster.dev/kubeconfig",
            "stringData": {"config": kubeconfig.dump(document)},
        }
        await context.client.create(SECRETS, body)

    async def _report(self, context: Context, cluster: Object, wish: Wish, made: Record, port: int) -> None:
        status = {
            **(cluster.get("status") or {}),
            "phase": "Ready",
            "version": catalog(made.minor).git_version,
            "endpoint": url(self.shared.bind, port),
            "port": port,
            "commonEndpoint": self.common,
            "serverName": server_name(wish.namespace, wish.name),
            "hostNamespace": wish.tenancy.namespace,
            "observedGeneration": cluster["metadata"].get("generation", 1),
            **reports.facts(wish, made),
        }
        for condition in reports.conditions(wish, made):
            conditions = with_condition({**cluster, "status": status}, *condition, context.clock.now())
            status["conditions"] = conditions
        await _write_status(context, cluster, status)

    async def _refuse(
        self, context: Context, cluster: Object, reason: str, message: str, phase: str = "Failed"
    ) -> None:
        """Say why the cluster is not there."""
        now = context.clock.now()
        status = {
            **(cluster.get("status") or {}),
            "phase": phase,
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
        await self.serving.drop(metadata["uid"])
        tenant = tenancy(metadata["uid"], metadata["namespace"], metadata["name"])
        if not await delete.delete_host_namespace(context.client, tenant):
            return Result(1.0)
        await delete.remove_state(self.shared, self.ports, metadata["uid"])
        await self.serving.forget(metadata["uid"])
        await self.branches.forget(metadata["uid"])
        self.shared.metrics.forget(f"{metadata['namespace']}/{metadata['name']}")
        self.known.pop(Key(metadata["namespace"], metadata["name"]), None)
        left = [one for one in metadata["finalizers"] if one != FINALIZER]
        patch = {"metadata": {"uid": metadata["uid"], "finalizers": left}}
        await context.client.patch(VIRTUAL_CLUSTERS, metadata["namespace"], metadata["name"], patch)
        log.info("cluster deleted", cluster=f"{metadata['namespace']}/{metadata['name']}")
        return None

    async def _forget(self, key: Key) -> None:
        """The object vanished without its finalizer having been honoured: stop serving, keep the files."""
        id = self.known.pop(key, None)
        if id is not None:
            await self.serving.drop(id)


def _going(change: Change) -> bool:
    return change.new is None


def url(bind: str, port: int) -> str:
    """The URL of a port that listens on `bind`."""
    host = "127.0.0.1" if bind in create.WILDCARDS else bind
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def _write_status(context: Context, cluster: Object, status: dict[str, Any]) -> None:
    if status == (cluster.get("status") or {}):
        return
    metadata = cluster["metadata"]
    patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
    await context.client.patch(VIRTUAL_CLUSTERS, metadata["namespace"], metadata["name"], patch, subresource="status")
