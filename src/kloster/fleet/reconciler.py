"""Does what VirtualCluster objects ask for: one controller on the host.

Level-triggered like every controller: it reads the object and what is there, and moves one step nearer. It knows what
there must be (record, host namespace, address, kubeconfig, status); serving is the business of a shard. After a restart
every VirtualCluster is reconciled once, which has them served again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from kloster.aio.together import both
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

SOON = 0.005
"""Seconds until an object that was changed by somebody else is looked at again."""


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
        """Most of what has to be done waits for the disk: what does not depend on each other waits together."""
        try:
            self.known[Key(wish.namespace, wish.name)] = wish.id
            if _is_to_be_reset(cluster, wish):
                cluster = await self._hold(context, cluster)
                if not await self._reset(context, cluster, wish):
                    return Result(1.0)
            with contextlib.ExitStack() as address:
                with self.branches.layers.forking():
                    begun, cluster = await both(
                        self.branches.begin(context.source, wish), self._make_room(context, cluster, wish)
                    )
                    listening = address.enter_context(self._address(wish))
                    made, _ = await both(self.branches.finish(wish, begun), self.ports.saved(self.shared.executor))
                port, _ = await both(
                    self.serving.serve(wish, listening), self._publish_kubeconfig(context, cluster, made)
                )
        except _Overtaken:
            return Result(SOON)
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
        await self.branches.layers.tidy()
        return None

    async def _make_room(self, context: Context, cluster: Object, wish: Wish) -> Object:
        """What there must be before anything is made that would have to be cleaned up: our finalizer, durably; then the
        namespace on the host. Returns the object as it is then."""
        cluster = await self._hold(context, cluster)
        await create.ensure_host_namespace(context.client, wish)
        return cluster

    @contextlib.contextmanager
    def _address(self, wish: Wish) -> Iterator[Callable[[], socket.socket]]:
        """How to get at the socket of the cluster's port. A new cluster's is bound now, so that its port is known."""
        bind, ports = self.shared.bind, self.ports
        early = addresses.bind(bind, ports, wish.id) if ports.get(wish.id) is None else None

        def listening() -> socket.socket:
            nonlocal early
            taken, early = early, None
            return taken or addresses.bind(bind, ports, wish.id)

        try:
            yield listening
        finally:
            if early is not None:
                early.close()

    async def _reset(self, context: Context, cluster: Object, wish: Wish) -> bool:
        """Go back to the state at the fork. False: it was begun; what the cluster has on the host is still going."""
        made = await self.branches.load_or_make(context.source, wish)
        if made.origin is None or made.reset == wish.reset:
            return True
        await self.serving.drop(wish.id)
        await self._refuse(context, cluster, "Resetting", "going back to the state at its fork", phase="Resetting")
        if not await delete.delete_host_namespace(context.client, wish.tenancy):
            return False
        await self.branches.reset(wish, made)
        return True

    async def _hold(self, context: Context, cluster: Object) -> Object:
        """The object with our finalizer. Raises _Overtaken if it has changed meanwhile."""
        metadata = cluster["metadata"]
        present = metadata.get("finalizers") or ()
        if FINALIZER in present:
            return cluster
        patch = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [*present, FINALIZER],
            }
        }
        try:
            return await context.client.patch(VIRTUAL_CLUSTERS, metadata["namespace"], metadata["name"], patch)
        except StatusError as error:
            if error.code != 409:
                raise
            raise _Overtaken from error

    async def _publish_kubeconfig(self, context: Context, cluster: Object, made: Record) -> None:
        """The Secret ``kubeconfig-NAME`` beside the VirtualCluster, owned by it. Record and port are durable."""
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
        port = self.ports.get(made.id)
        assert port is not None, "it is bound before anything is published"
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


class _Overtaken(Exception):
    """The VirtualCluster has changed, so it is looked at again."""


def _is_to_be_reset(cluster: Object, wish: Wish) -> bool:
    """Whether a reset is asked for of which nobody has said yet that it is done."""
    return bool(wish.reset) and (cluster.get("status") or {}).get("reset") != wish.reset


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
