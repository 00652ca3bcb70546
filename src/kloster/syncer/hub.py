"""The host as the syncer sees it: one subscription per kind for all clusters, and the host's client.

A change of a host object is handed to the cluster whose host namespace it is in, if the object carries the cluster's
host ID. Other objects there are nobody's: they are never touched, and looked at only by who asks for `anything` (events
about the cluster's objects are written by the host's own components and carry no mark).
"""

from __future__ import annotations

from collections.abc import Callable

from kloster.apimachinery import Object
from kloster.client.api import Change, Resource, Source
from kloster.client.client import Client
from kloster.client.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICES,
    STORAGE_CLASSES,
)
from kloster.syncer.names import Tenancy

Listener = Callable[[Change], None]

FOLLOWED = (PODS, SERVICES, ENDPOINT_SLICES, CONFIG_MAPS, SECRETS, PERSISTENT_VOLUME_CLAIMS, EVENTS)
"""What of a cluster there is on the host."""

SEEN = (*FOLLOWED, NAMESPACES, NODES, PERSISTENT_VOLUMES, STORAGE_CLASSES)
"""Everything on the host that syncers look at."""


class HostHub:
    """One for a host and process. Subscribes to a kind when the first cluster asks for it."""

    def __init__(self, client: Client, source: Source) -> None:
        self.client = client
        self.source = source
        self._listeners: dict[Resource, dict[str, list[Listener]]] = {}
        self._cancels: list[Callable[[], None]] = []
        self._hooks: dict[str, Listener] = {}

    def on_change(self, tenancy: Tenancy, hook: Listener) -> Callable[[], None]:
        """Call `hook` at every change in the cluster's host namespace, of whatever kind: for a cluster that is not in
        memory. One hook a cluster. Returns how to end it.
        """
        for resource in FOLLOWED:
            self._subscribe(resource)
        self._hooks[tenancy.namespace] = hook

        def end() -> None:
            if self._hooks.get(tenancy.namespace) is hook:
                del self._hooks[tenancy.namespace]

        return end

    def listen(
        self, resource: Resource, tenancy: Tenancy, listener: Listener, *, anything: bool = False
    ) -> Callable[[], None]:
        """Call `listener` for each present host object of the cluster and for each change. Returns how to end it.

        An object that was the cluster's until this change counts, too: somebody may have taken its marks away.
        """

        def checked(change: Change) -> None:
            if anything or tenancy.owns(change.object) or (change.old is not None and tenancy.owns(change.old)):
                listener(change)

        end = self._join(resource, tenancy.namespace, checked)
        for item in self.source.list(resource, tenancy.namespace):
            checked(Change(resource, None, item))
        return end

    def listen_namespace(self, tenancy: Tenancy, returned: Callable[[], None]) -> Callable[[], None]:
        """Call `returned` whenever the cluster's host namespace comes (again) after this call."""

        def changed(change: Change) -> None:
            if change.old is None and change.new is not None:
                returned()

        return self._join(NAMESPACES, tenancy.namespace, changed)

    def listen_volumes(self, tenancy: Tenancy, listener: Listener) -> Callable[[], None]:
        """Call `listener` for each change of a PersistentVolume that is reserved for a claim in the cluster's host
        namespace. Returns how to end that.
        """
        return self._join(PERSISTENT_VOLUMES, tenancy.namespace, listener)

    def close(self) -> None:
        """End all subscriptions."""
        for cancel in self._cancels:
            cancel()
        self._cancels.clear()
        self._listeners.clear()

    def _join(self, resource: Resource, namespace: str, listener: Listener) -> Callable[[], None]:
        self._subscribe(resource)
        group = self._listeners[resource].setdefault(namespace, [])
        group.append(listener)

        def end() -> None:
            group.remove(listener)
            if not group:
                self._listeners.get(resource, {}).pop(namespace, None)

        return end

    def _subscribe(self, resource: Resource) -> None:
        if resource not in self._listeners:
            self._listeners[resource] = {}
            self._cancels.append(self.source.subscribe(resource, lambda change: self._route(resource, change)))

    def _route(self, resource: Resource, change: Change) -> None:
        namespace = _place(resource, change.object)
        for listener in tuple(self._listeners[resource].get(namespace, ())):
            listener(change)
        hook = self._hooks.get(namespace)
        if hook is not None:
            hook(change)


def _place(resource: Resource, item: Object) -> str:
    """The host namespace that an object belongs to."""
    if resource == PERSISTENT_VOLUMES:
        return str((item["spec"].get("claimRef") or {}).get("namespace", ""))
    metadata = item["metadata"]
    return str(metadata.get("namespace", "") if resource.namespaced else metadata["name"])


def owned(hub: HostHub, tenancy: Tenancy, resource: Resource, name: str) -> Object | None:
    """The host object of that name (one that the cluster would give), if it is this cluster's."""
    found = hub.source.get(resource, tenancy.namespace, name)
    return found if found is not None and tenancy.marks(found) else None
