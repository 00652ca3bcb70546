"""Compares, decides, performs: one controller per translated kind and virtual cluster.

The model: a key is the virtual object's namespace and name. Changes on either side become that key; `reconcile` reads
both sides as they are now, asks the kind's translator for actions, and performs them one after the other. Every action
carries the UID of what it was decided on, so that one which comes too late (after a restart, after a re-creation under
the same name) fails with 404 or 409 instead of hitting something else, and the key is simply looked at again. So
stopping anywhere and starting again loses nothing: what is missing is made, what is left over is found by its
annotations and removed, and where nothing changed nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change, Resource
from kloster.runtime.api import Context, Controller, Key, Result, Watch
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
from kloster.syncer.hub import HostHub, owned
from kloster.syncer.names import Tenancy, virtual_key
from kloster.syncer.translator import Related, Translator, World

log = structlog.get_logger(__name__)

OVERTAKEN = (404, 409)  # the object has changed since: look again
FIELD_MANAGER = "kloster-syncer"


class Syncer:
    """Syncs one virtual cluster with the host behind `hub`."""

    def __init__(self, hub: HostHub, tenancy: Tenancy, policy: Mapping[str, Any] | None = None) -> None:
        self.hub = hub
        self.tenancy = tenancy
        self.policy: Mapping[str, Any] = policy or {}

    def world(self, context: Context) -> World:
        """What translators may look at now."""
        tenancy, host = self.tenancy, self.hub.source
        return World(
            tenancy,
            context.source.get,
            context.source.list,
            lambda resource, name: host.get(resource, tenancy.namespace, name),
            context.clock.now(),
            self.policy,
            context.settings,
        )

    def controller(self, translator: Translator) -> Controller:
        """The controller that syncs the translator's kind."""

        def follow_host(_: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
            def changed(change: Change) -> None:
                found = virtual_key(change.object)
                if found is not None:
                    enqueue(Key(*found))

            return self.hub.listen(translator.resource, self.tenancy, changed)

        async def reconcile(context: Context, key: Key) -> Result | None:
            await self._reconcile(translator, context, key)
            return None

        watches = [Watch(translator.resource)]
        watches += [self._related(resource, keys) for resource, keys in translator.related.items()]
        name = f"syncer-{translator.resource.plural}"
        return Controller(name, tuple(watches), reconcile, start=follow_host)

    def _related(self, resource: Resource, keys: Related) -> Watch:
        def lookup(context: Context, change: Change) -> Iterable[Key]:
            return [Key(*found) for found in keys(change, self.world(context))]

        return Watch(resource, lookup=lookup)

    async def _reconcile(self, translator: Translator, context: Context, key: Key) -> None:
        virtual = context.source.get(translator.resource, key.namespace, key.name)
        host_name = self.tenancy.name(key.name, key.namespace)
        host = owned(self.hub, self.tenancy, translator.resource, host_name)
        for action in translator.decide(self.world(context), virtual, host):
            try:
                await self.perform(translator.resource, context, key, virtual, action)
            except StatusError as error:
                if error.code not in OVERTAKEN:
                    raise
                await self._overtaken(translator, context, virtual, action, error)
                return

    async def perform(
        self, resource: Resource, context: Context, key: Key, virtual: Object | None, action: Action
    ) -> None:
        """Carry out one action. Raises StatusError; 404 and 409 mean that the world has moved on."""
        host, namespace = self.hub.client, self.tenancy.namespace
        match action:
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
            case PatchVirtual(patch, type, subresource):
                body = _pinned(patch, virtual["metadata"]["uid"]) if virtual is not None else patch
                await context.client.patch(resource, key.namespace, key.name, body, type=type, subresource=subresource)
            case BindVirtual(node):
                await context.client.create_subresource(
                    resource, key.namespace, key.name, "binding", _binding(key, virtual, node)
                )
            case DeleteVirtual(uid, grace):
                await context.client.delete(resource, key.namespace, key.name, uid=uid, grace_period_seconds=grace)
            case Report(type_, reason, message):
                if virtual is not None:
                    context.recorder.event(virtual, type_, reason, message)

    async def _overtaken(
        self, translator: Translator, context: Context, virtual: Object | None, action: Action, error: StatusError
    ) -> None:
        """Somebody was faster. A host name that is taken by something foreign will not free itself: say so."""
        if isinstance(action, CreateHost) and error.reason == "AlreadyExists":
            name = action.object["metadata"]["name"]
            found = await self.hub.client.get(translator.resource, self.tenancy.namespace, name)
            if not self.tenancy.owns(found):
                text = f'The host already has a {translator.kind} "{name}" that does not belong to this cluster'
                log.warning("host name taken", cluster=self.tenancy.cluster, kind=translator.kind, name=name)
                if virtual is not None:
                    context.recorder.event(virtual, "Warning", "SyncConflict", text)
                raise error
            return
        if error.code == 404 and isinstance(action, CreateHost):
            raise error  # the host namespace is missing
        if error.code == 409 and not isinstance(action, DeleteHost | DeleteVirtual):
            raise error  # come again with back-off


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
