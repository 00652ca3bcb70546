"""A cluster's parts, in start order.

    record ─▶ store (overlay on layers) ─▶ served cluster (identities, roles, custom resources)
           ─▶ own objects, once (a fork: what was copied is made its own) ─▶ controllers

`assemble` starts them, `Assembled.close` stops them in the opposite order. What a cluster has for itself is this
object; everything else is shared (`shared`). How it is reached is the business of whoever holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from kloster.aio.clock import Clock
from kloster.apiserver import bootstrap, pipeline
from kloster.apiserver.audit.log import AuditLog
from kloster.apiserver.auditing import Auditor
from kloster.apiserver.authorization.always import PrivilegedGroups
from kloster.apiserver.authorization.escalation import Escalation
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.apiserver.cluster import NodeConnector, Ports, ServedCluster, Settings, SystemRandom
from kloster.apiserver.customresources.kinds import builder
from kloster.apiserver.expiry import expire_events
from kloster.apiserver.resources import Resources, built_in
from kloster.apiserver.view import LiveView
from kloster.client.client import Client
from kloster.client.dialing import Dialer
from kloster.client.inprocess import Handler, InProcessTransport
from kloster.client.portforward import PortForward
from kloster.client.sources import LiveSource
from kloster.fleet import audits, credentials, naturalize
from kloster.fleet.record import Record
from kloster.fleet.shared import Shared
from kloster.kinds.catalog import catalog
from kloster.runtime.api import Context, Controller
from kloster.runtime.dispatcher import Attachment
from kloster.runtime.recorder import LINGER, EventRecorder
from kloster.stores.api import Entry, Operation, StoreError, View
from kloster.stores.layers import Layer
from kloster.stores.sqlite import SqliteStore

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Assembled:
    """A cluster that is in memory. `seen` is its revision at the last `forget_past`."""

    record: Record
    shared: Shared
    store: SqliteStore
    served: ServedCluster
    handler: Handler
    roles: StoredRoles
    client: Client
    source: LiveSource
    context: Context
    attachments: list[Attachment]
    audit: AuditLog | None = None
    closed: bool = False
    seen: int = 0
    stacking: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while the layers change
    recorded: bool = True  # whether `record` is on disk

    def attach(self, controllers: Sequence[Controller]) -> None:
        """Run controllers for this cluster."""
        self.attachments.append(self.shared.dispatcher.attach(self.context, controllers))

    async def detach(self) -> None:
        """Stop the controllers; what runs may finish."""
        attachments, self.attachments = self.attachments, []
        for attachment in attachments:
            await self.shared.dispatcher.detach(attachment)

    async def forget_past(self) -> None:
        """Called every so often: forget changes that were there already at the call before, and old events."""
        self.store.compact(self.seen)
        self.seen = self.store.revision
        try:
            await expire_events(self.served)
        except StoreError as error:
            if not self.closed:
                log.warning("events were not removed", cluster=self.record.display, error=str(error))

    @property
    def next_due(self) -> float | None:
        """When the earliest timer of its controllers comes up, in the clock's monotonic seconds."""
        dues = [due for attachment in self.attachments if (due := attachment.next_due) is not None]
        return min(dues, default=None)

    async def close(self) -> None:
        """Stop its controllers, release its store. Nothing acknowledged is lost."""
        self.closed = True
        await self.detach()
        self.roles.close()
        self.served.close()
        if self.audit is not None:
            self.audit.close()
        own = [entry for _, entry in self.store.own() if entry is not None]
        await self.store.close()
        self.shared.forms.forget(own)


async def assemble(
    shared: Shared,
    record: Record,
    settings: Settings,
    nodes: NodeConnector | None,
    clock: Clock | None = None,
    dialer: Dialer | None = None,
) -> Assembled:
    """Open the cluster of `record`, making its own objects if it is new. Raises StoreBroken.

    clock    the cluster's own time, if it is not that of all
    dialer   the way to its pods, if it is not its own API
    """
    clock = clock or shared.clock
    layers = await shared.templates.stack(record.layers)
    path = shared.data_dir.cluster(record.id) / record.store
    floor = record.origin.revision if record.origin else 0
    first = partial(_first, record, settings, layers, shared.clock.now())
    store = await SqliteStore.open(
        path, executor=shared.executor, base=layers, replaced=record.replaced, floor=floor, first=first
    )
    try:
        return await _assemble(shared, record, settings, nodes, clock, dialer, store)
    except BaseException:
        await store.close()  # else the next attempt would be told that it is in use
        raise


async def _assemble(
    shared: Shared,
    record: Record,
    settings: Settings,
    nodes: NodeConnector | None,
    clock: Clock,
    dialer: Dialer | None,
    store: SqliteStore,
) -> Assembled:
    served = _serve(shared, record, settings, store, clock)
    served.serve_custom_resources(builder(served.catalog))
    view = served.view
    issued = credentials.tokens(record.identity, view, clock, settings.issuer)
    roles = StoredRoles(store, lambda entry: _decoded(view, entry))
    bootstrap_tokens = credentials.bootstrap_tokens(view, clock)
    served.authenticator = credentials.authenticator(issued, clock, bootstrap=bootstrap_tokens)
    rbac = Rbac(roles)
    served.authorizer = credentials.authorizer(rbac)
    served.ports = Ports(
        tokens=issued,
        bootstrap_tokens=bootstrap_tokens,
        escalation=Escalation(rbac, served.authorizer),
        nodes=nodes,
        openapi=shared.openapi,
        metrics=partial(shared.metrics.cluster_exposition, record.display),
        tally=shared.metrics.of(record.display),
        webhooks=shared.webhooks,
    )
    if record.origin is None:
        await _populate(shared, record, settings, store)
    else:
        await _naturalize(shared, record, served, store)
    await expire_events(served)
    handler = pipeline.handler(served)
    transport = InProcessTransport(handler, credentials.MASTER)
    served.ports.dialer = dialer or PortForward(transport)
    client = Client(transport, user_agent="kloster")
    source = LiveSource(view)
    recorder = EventRecorder(client, clock, shared.dispatcher.spawn, component="kloster", linger=LINGER)
    context = Context(record.id, client, source, recorder, clock, _settings(record, settings))
    audit = None
    if shared.audit is not None:
        audit = audits.begin(shared.data_dir.cluster(record.id))
        served.ports.auditor = Auditor(shared.audit, audit.write)
    return Assembled(record, shared, store, served, handler, roles, client, source, context, [], audit)


def _serve(shared: Shared, record: Record, settings: Settings, store: SqliteStore, clock: Clock) -> ServedCluster:
    return ServedCluster(
        record.id,
        catalog(record.minor),
        store,
        PrivilegedGroups(),
        settings=settings,
        codecs=shared.codecs,
        clock=clock,
        forms=shared.forms,
        aside=shared.aside,
    )


def _decoded(view: LiveView, entry: Entry) -> dict[str, object]:
    found = view.object(entry)
    assert found is not None, "RBAC kinds are served by every version"
    return found


def _settings(record: Record, settings: Settings) -> dict[str, object]:
    """What controllers need to know."""
    return {
        "ca_bundle": record.identity.ca_bundle,
        "sign": record.identity.sign,
        "cluster_domain": settings.cluster_domain,
        "service_cidr": settings.service_cidr,
        "version": catalog(record.minor).git_version,
        "minor": record.minor,
    }


def _first(record: Record, settings: Settings, layers: Sequence[Layer], now: float, view: View) -> Sequence[Operation]:
    """What a new cluster's store holds from the beginning, on its layers (`Decision`, but for what comes first)."""
    if record.origin is None:
        return _own(record, settings, now, view)
    own = _naturalized(record, Resources(built_in(catalog(record.minor))))
    mentioning = naturalize.mentions(layers, view)
    if any(own.resources.stored_as(key.resource) is None for key in mentioning.owner):
        return ()  # custom resources are known only to the open cluster, which sees to it (`_naturalize`)
    return naturalize.operations(view, own, mentioning)


def _naturalized(record: Record, resources: Resources) -> naturalize.Own:
    return naturalize.Own(naturalize.own_uid(record.id), record.identity.ca_bundle, resources)


async def _naturalize(shared: Shared, record: Record, served: ServedCluster, store: SqliteStore) -> None:
    """Make what was copied from its source a fork's own, once: in one transaction, before anybody sees it."""
    own = _naturalized(record, served.resources)
    if naturalize.is_done(store, own.uid):
        return
    loop = asyncio.get_running_loop()
    mentioning = await loop.run_in_executor(shared.executor, naturalize.mentions, store.layers, store)
    await store.transact(lambda view: naturalize.operations(view, own, mentioning))


async def _populate(shared: Shared, record: Record, settings: Settings, store: SqliteStore) -> None:
    """Write the objects that are a cluster's own, once: in one transaction, so that there is no half of them. (A file
    that was made by an earlier release may lack them.)"""
    if store.get(naturalize.KUBE_SYSTEM) is None:
        await store.transact(partial(_own, record, settings, shared.clock.now()))


def _own(record: Record, settings: Settings, now: float, view: View) -> Sequence[Operation]:
    """The objects that every cluster has for itself, unless they are there."""
    if view.get(naturalize.KUBE_SYSTEM) is not None:
        return ()
    return bootstrap.own(catalog(record.minor), settings, SystemRandom(), now, client_ca=record.identity.ca_bundle)
