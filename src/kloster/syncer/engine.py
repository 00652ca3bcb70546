"""Compares, decides, performs: one controller per translated kind and virtual cluster.

The model: a key is the virtual object's namespace and name. Changes on either side become that key; `reconcile` reads
both sides as they are now, asks the kind's translator for actions, and performs them one after the other. Every action
carries the UID of what it was decided on, so that one which comes too late (after a restart, after a re-creation under
the same name) fails with 404 or 409 instead of hitting something else, and the key is simply looked at again. So
stopping anywhere and starting again loses nothing: what is missing is made, what is left over is found by its
annotations and removed, and where nothing changed nothing is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import structlog

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change, Resource
from kloster.client.resources import EVENTS, NODES
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.syncer import texts
from kloster.syncer.actions import (
    Action,
    BindVirtual,
    CreateHost,
    DeleteHost,
    DeleteVirtual,
    PatchHost,
    PatchVirtual,
    Report,
)
from kloster.syncer.echoes import Echo, echo_of
from kloster.syncer.hub import HostHub, owned
from kloster.syncer.names import Tenancy, virtual_key
from kloster.syncer.references import References
from kloster.syncer.translator import Related, Translator, World
from kloster.workloads.lostnodes import silent_since

log = structlog.get_logger(__name__)

OVERTAKEN = (404, 409)  # the object has changed since: look again
OWN_UNSEEN = 0.5  # seconds until an object of ours that exists but was not seen is looked at again
MOMENT = 0.1  # seconds for which a passing state is kept to ourselves
WRITTEN = 10.0  # seconds after which an event that was recorded can be seen
BLOCKED = 300.0  # seconds between attempts at a name that something foreign has
Enqueue = Callable[[Key], None]
FIELD_MANAGER = "kloster-syncer"


class Syncer:
    """Syncs one virtual cluster with the host behind `hub`.

    crossing    plurals of the kinds that are synced
    rehearsed   tests may lose nodes for this cluster (`workloads.lostnodes`)
    """

    def __init__(
        self,
        hub: HostHub,
        tenancy: Tenancy,
        policy: Mapping[str, Any] | None = None,
        crossing: frozenset[str] = frozenset(),
        *,
        rehearsed: bool = False,
    ) -> None:
        self.hub = hub
        self.tenancy = tenancy
        self.policy: Mapping[str, Any] = policy or {}
        self.crossing = crossing
        self.rehearsed = rehearsed
        self.references: References | None = None
        self._followers = 0

    def world(self, context: Context) -> World:
        """What translators may look at now."""
        tenancy, host, references = self.tenancy, self.hub.source, self.references
        return World(
            tenancy,
            context.source.get,
            context.source.list,
            lambda resource, name: host.get(resource, tenancy.namespace, name),
            context.clock.now(),
            self.policy,
            context.settings,
            references.referrers if references is not None else _nobody,
            self.crossing,
            self.lost(context),
        )

    def lost(self, context: Context) -> frozenset[str]:
        """The nodes of which this cluster hears nothing."""
        if not self.rehearsed:
            return frozenset()
        nodes = context.source.list(NODES)
        return frozenset(one["metadata"]["name"] for one in nodes if silent_since(one) is not None)

    def follow_references(self, context: Context) -> Callable[[], None]:
        """Keep `references` while anybody needs them. Returns how to end that."""
        if self.references is None:
            self.references = References(context.source)
        self._followers += 1

        def end() -> None:
            self._followers -= 1
            if not self._followers and self.references is not None:
                self.references.close()
                self.references = None

        return end

    def controller(self, translator: Translator) -> Controller:
        """The controller that syncs the translator's kind."""
        blocked: dict[str, Key] = {}  # host names that something foreign has, and who wants them
        passing: dict[Key, float] = {}  # when to tell what may be overtaken until then
        echoes: dict[Key, Echo] = {}  # of what is just being written

        async def reconcile(context: Context, key: Key) -> Result | None:
            return await self._reconcile(translator, context, key, blocked, passing, echoes)

        def follow(context: Context, enqueue: Enqueue) -> Callable[[], None]:
            return self._follow(translator, context, enqueue, blocked, echoes)

        def is_news(change: Change) -> bool:
            metadata = change.object["metadata"]
            echo = echoes.get(Key(metadata.get("namespace", ""), metadata["name"]))
            return echo is None or not echo(change, False)

        watches = [Watch(translator.resource, relevant=is_news)]
        watches += [self._related(resource, keys) for resource, keys in translator.related.items()]
        name = f"syncer-{translator.resource.plural}"
        return Controller(name, tuple(watches), reconcile, start=follow)

    def _related(self, resource: Resource, keys: Related) -> Watch:
        def lookup(context: Context, change: Change) -> Iterable[Key]:
            return [Key(*found) for found in keys(change, self.world(context))]

        return Watch(resource, lookup=lookup)

    def _follow(
        self,
        translator: Translator,
        context: Context,
        enqueue: Enqueue,
        blocked: dict[str, Key],
        echoes: Mapping[Key, Echo],
    ) -> Callable[[], None]:
        """Everything that concerns the kind beside its virtual objects. Returns how to end it."""
        tenancy, resource = self.tenancy, translator.resource

        def changed(change: Change) -> None:
            known = [virtual_key(item) for item in (change.new, change.old) if item is not None and tenancy.owns(item)]
            for found in dict.fromkeys(known):
                echo = echoes.get(Key(*found)) if found is not None else None
                if found is not None and (echo is None or not echo(change, True)):
                    enqueue(Key(*found))
            waiting = blocked.get(change.object["metadata"]["name"])
            if waiting is not None and change.new is None:
                enqueue(waiting)

        def everything() -> None:
            for item in context.source.list(resource):
                enqueue(Key(item["metadata"].get("namespace", ""), item["metadata"]["name"]))

        ends = ExitStack()
        ends.callback(self.follow_references(context))
        assert self.references is not None
        if translator.by_reference:
            ends.callback(self.references.listen(translator.kind, lambda *found: enqueue(Key(*found))))
        ends.callback(self.hub.listen(resource, tenancy, changed, anything=True))
        ends.callback(self.hub.listen_namespace(tenancy, everything))
        for other, keys in translator.on_host.items():

            def related(change: Change, keys: Related = keys) -> None:
                for found in keys(change, self.world(context)):
                    enqueue(Key(*found))

            ends.callback(self.hub.listen(other, tenancy, related))

        return ends.close

    async def _reconcile(
        self,
        translator: Translator,
        context: Context,
        key: Key,
        blocked: dict[str, Key],
        passing: dict[Key, float],
        echoes: dict[Key, Echo],
    ) -> Result | None:
        virtual = context.source.get(translator.resource, key.namespace, key.name)
        host_name = self.tenancy.name(key.name, key.namespace)
        blocked.pop(host_name, None)
        host = owned(self.hub, self.tenancy, translator.resource, host_name)
        now, told_at = context.clock.monotonic(), passing.pop(key, None)
        for action in translator.decide(self.world(context), virtual, host):
            if isinstance(action, PatchVirtual) and action.passing:
                told_at = now + MOMENT if told_at is None else told_at
                if now < told_at - 1e-6:
                    passing[key] = told_at
                    return Result(told_at - now)
            echo = echo_of(translator.resource, action, virtual)
            if echo is not None:
                echoes[key] = echo
            try:
                await self.perform(translator.resource, context, key, virtual, action)
            except StatusError as error:
                if isinstance(action, CreateHost) and error.reason == "AlreadyExists":
                    return await self._name_taken(translator, context, key, virtual, blocked)
                if error.code not in OVERTAKEN:
                    self._refused_by_host(context, virtual, action, error)
                    raise
                if error.code == 409 and not isinstance(action, DeleteHost | DeleteVirtual):
                    raise  # come again with back-off
                if error.code == 404 and isinstance(action, CreateHost):
                    raise  # the host namespace is missing
                return None
            finally:
                echoes.pop(key, None)
        return None

    async def perform(
        self, resource: Resource, context: Context, key: Key, virtual: Object | None, action: Action
    ) -> None:
        """Carry out one action. Raises StatusError; 404 and 409 mean that the world has moved on."""
        host, namespace = self.hub.client, self.tenancy.namespace
        match action:
            case CreateHost(_, refused) | PatchHost(refused=refused) if refused:
                await self._try(resource, context, key, virtual, action, refused)
            case CreateHost(body):
                await host.create(resource, body, namespace=namespace, field_manager=FIELD_MANAGER)
            case PatchHost(name, uid, patch, type, subresource):
                await host.patch(
                    resource,
                    namespace,
                    name,
                    _pinned(patch, uid),
                    type=type,
                    subresource=subresource,
                    field_manager=FIELD_MANAGER,
                )
            case DeleteHost(name, uid, grace):
                await host.delete(resource, namespace, name, uid=uid, grace_period_seconds=grace)
            case PatchVirtual(patch, type, subresource, _):
                body = _pinned(patch, virtual["metadata"]["uid"]) if virtual is not None else patch
                await context.client.patch(resource, key.namespace, key.name, body, type=type, subresource=subresource)
            case BindVirtual(node):
                await context.client.create_subresource(
                    resource, key.namespace, key.name, "binding", _binding(key, virtual, node)
                )
            case DeleteVirtual(uid, grace, unless):
                if unless and await self._still_there(resource, unless):
                    raise StatusError(409, "Conflict", f'the host still has {resource.plural} "{unless}"')
                await context.client.delete(resource, key.namespace, key.name, uid=uid, grace_period_seconds=grace)
            case Report(type_, reason, message):
                tell(context, virtual, type_, reason, message)

    async def _try(
        self,
        resource: Resource,
        context: Context,
        key: Key,
        virtual: Object | None,
        action: CreateHost | PatchHost,
        refused: Sequence[Action],
    ) -> None:
        """Ask the host for what it may have to refuse."""
        try:
            await self.perform(resource, context, key, virtual, dataclasses.replace(action, refused=()))
        except StatusError as error:
            if error.reason != "Invalid":
                raise
            for other in refused:
                await self.perform(resource, context, key, virtual, other)

    async def _still_there(self, resource: Resource, name: str) -> bool:
        """Ask the host itself."""
        try:
            return self.tenancy.marks(await self.hub.client.get(resource, self.tenancy.namespace, name))
        except StatusError as error:
            if error.code == 404:
                return False
            raise

    async def _name_taken(
        self, translator: Translator, context: Context, key: Key, virtual: Object | None, blocked: dict[str, Key]
    ) -> Result | None:
        """The host has an object of that name: ours, seen too late, or a foreign one, which is never touched."""
        name = self.tenancy.name(key.name, key.namespace)
        try:
            found = await self.hub.client.get(translator.resource, self.tenancy.namespace, name)
        except StatusError as error:
            if error.code == 404:
                return Result(0)
            raise
        if self.tenancy.marks(found):
            return Result(OWN_UNSEEN)
        blocked[name] = key
        text = (
            f'The host already has a {translator.kind} "{key.name}" at this place that does not belong to this cluster'
        )
        log.warning("host name taken", cluster=self.tenancy.cluster, kind=translator.kind, name=name)
        tell(context, virtual, "Warning", "SyncConflict", text)
        return Result(BLOCKED)

    def _refused_by_host(self, context: Context, virtual: Object | None, action: Action, error: StatusError) -> None:
        """The host does not take it (quota, policy, webhook): the tenant must be told why."""
        if virtual is None or not isinstance(action, CreateHost | PatchHost) or not 400 <= error.code < 500:
            return
        if error.code == 429:
            return
        text = texts.clean(error.message, texts.names(self.tenancy, virtual))
        tell(context, virtual, "Warning", "SyncFailed", f"The host refused the {virtual['kind']}: {text}")


def tell(context: Context, virtual: Object | None, type: str, reason: str, message: str) -> None:
    """An event for the tenant, unless it is there already: reconciling again, or after a restart, is no news."""
    if virtual is None:
        return
    metadata = virtual["metadata"]
    told: dict[tuple[str, str, str], float] = context.memory.setdefault("told", {})
    now, news = context.clock.monotonic(), (metadata["uid"], reason, message)
    for one in [one for one, at in told.items() if now - at > WRITTEN]:
        del told[one]
    if news in told:
        return
    for event in context.source.list(EVENTS, metadata.get("namespace", "")):
        about = event.get("involvedObject") or {}
        if about.get("uid") == metadata["uid"] and (event.get("reason"), event.get("message")) == (reason, message):
            return
    told[news] = now
    context.recorder.event(virtual, type, reason, message)


def _nobody(kind: str, namespace: str, name: str) -> Sequence[tuple[str, str]]:
    return ()


def _pinned(patch: Object, uid: str) -> Object:
    """The patch, valid only for the object that was looked at."""
    return {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}


def _binding(key: Key, virtual: Object | None, node: str) -> Object:
    metadata: Object = {"name": key.name, "namespace": key.namespace}
    if virtual is not None:
        metadata["uid"] = virtual["metadata"]["uid"]
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": metadata,
        "target": {"kind": "Node", "name": node},
    }
