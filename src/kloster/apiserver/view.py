"""A served cluster's objects for parts in the same process: decoded once, shared, without a request.

Implements `client.inprocess.ObjectView`. Objects are decoded when somebody looks at them and kept in the process's
`FormCache`; nothing is copied per reader. All subscribers of a cluster share one subscription to its store, which
exists only while there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from kloster.apimachinery import Object
from kloster.apiserver.resources import Served
from kloster.stores.api import Compacted, Entry, Event, Key, StoreClosed, Subscription

if TYPE_CHECKING:
    from kloster.apiserver.cluster import ServedCluster

log = structlog.get_logger()

Handler = Callable[[Object | None, Object | None], None]


class ClusterView:
    """Current objects of one cluster. Everything returned is shared: never change it."""

    __slots__ = ("_cluster", "_handlers", "_subscription")

    def __init__(self, cluster: ServedCluster) -> None:
        self._cluster = cluster
        self._handlers: dict[str, tuple[Handler, ...]] = {}
        self._subscription: Subscription | None = None

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        cluster = self._cluster
        served = cluster.resources.stored_as(resource)
        if served is None:
            return None
        entry = cluster.store.get(Key(resource, namespace, name))
        return None if entry is None else cluster.forms.object(served, entry)

    def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        cluster = self._cluster
        if not resource:
            ids = dict.fromkeys(served.id for served in cluster.resources)
            return [item for known in ids for item in self.list(known, namespace)]
        served = cluster.resources.stored_as(resource)
        if served is None:
            return []
        return [cluster.forms.object(served, entry) for entry in cluster.store.scan(resource, namespace)]

    def subscribe(self, resource: str, handler: Handler) -> Callable[[], None]:
        if self._subscription is None:
            store = self._cluster.store
            self._subscription = store.subscribe("", store.revision, self._wake)
        self._handlers[resource] = (*self._handlers.get(resource, ()), handler)

        def cancel() -> None:
            left = tuple(other for other in self._handlers.get(resource, ()) if other is not handler)
            if left:
                self._handlers[resource] = left
            else:
                self._handlers.pop(resource, None)
            if not self._handlers and self._subscription is not None:
                self._subscription.close()
                self._subscription = None

        return cancel

    def _wake(self) -> None:
        """Deliver what was published, before the writer is told that it was."""
        subscription = self._subscription
        while subscription is not None:
            try:
                events = subscription.drain()
            except (Compacted, StoreClosed):
                return
            if not events:
                return
            for event in events:
                self._deliver(event)
            subscription = self._subscription

    def _deliver(self, event: Event) -> None:
        resource = event.key.resource
        handlers = (*self._handlers.get(resource, ()), *self._handlers.get("", ()))
        if not handlers:
            return
        served = self._cluster.resources.stored_as(resource)
        if served is None:
            return
        old, new = self._object(served, event.old), self._object(served, event.new)
        for handler in handlers:
            try:
                handler(old, new)
            except Exception:
                log.exception("a subscriber failed", cluster=self._cluster.id, resource=resource)

    def _object(self, served: Served, entry: Entry | None) -> Object | None:
        return None if entry is None else self._cluster.forms.object(served, entry)


class ClusterRoles:
    """Implements `authorization.rbac.RoleView`."""

    RESOURCES = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")

    def __init__(self, cluster: ServedCluster) -> None:
        self._view = cluster.view
        self._generation = 0
        self._subscriptions = [
            cluster.store.subscribe(_rbac(plural), cluster.store.revision, self._changed) for plural in self.RESOURCES
        ]

    def _changed(self) -> None:
        self._generation += 1
        for subscription in self._subscriptions:
            try:
                while subscription.drain():
                    pass
            except (Compacted, StoreClosed):
                continue

    @property
    def generation(self) -> int:
        return self._generation

    def role(self, namespace: str, name: str) -> Object | None:
        return self._view.get(_rbac("roles"), namespace, name)

    def cluster_role(self, name: str) -> Object | None:
        return self._view.get(_rbac("clusterroles"), "", name)

    def role_bindings(self, namespace: str) -> Sequence[Object]:
        return self._view.list(_rbac("rolebindings"), namespace)

    def cluster_role_bindings(self) -> Sequence[Object]:
        return self._view.list(_rbac("clusterrolebindings"))


def _rbac(plural: str) -> str:
    return f"rbac.authorization.k8s.io/{plural}"
