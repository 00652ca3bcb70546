"""The roles and bindings of a cluster, read from its store for the authorizer.

`generation` moves with the store's own changes of the four RBAC resources, and of nothing else: the authorizer's
compiled decisions stay valid while pods come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kloster.apimachinery import Object
from kloster.stores.api import Entry, Key, Store, StoreError, Subscription

GROUP = "rbac.authorization.k8s.io"
ROLES = f"{GROUP}/roles"
CLUSTER_ROLES = f"{GROUP}/clusterroles"
ROLE_BINDINGS = f"{GROUP}/rolebindings"
CLUSTER_ROLE_BINDINGS = f"{GROUP}/clusterrolebindings"


class StoredRoles:
    """A `rbac.RoleView` on a store. `decode` turns an entry into its (shared, read-only) object."""

    __slots__ = ("_decode", "_generation", "_store", "_subscriptions")

    def __init__(self, store: Store, decode: Callable[[Entry], Object]) -> None:
        self._store = store
        self._decode = decode
        self._generation = 0
        self._subscriptions: list[Subscription] = []
        for resource in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            self._subscriptions.append(store.subscribe(resource, store.revision, self._changed))

    def _changed(self) -> None:
        self._generation += 1
        for subscription in self._subscriptions:
            _catch_up(subscription)

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    @property
    def generation(self) -> int:
        return self._generation

    def role(self, namespace: str, name: str) -> Object | None:
        return self._get(Key(ROLES, namespace, name))

    def cluster_role(self, name: str) -> Object | None:
        return self._get(Key(CLUSTER_ROLES, "", name))

    def role_bindings(self, namespace: str) -> Iterable[Object]:
        return [self._decode(entry) for entry in self._store.scan(ROLE_BINDINGS, namespace)]

    def cluster_role_bindings(self) -> Iterable[Object]:
        return [self._decode(entry) for entry in self._store.scan(CLUSTER_ROLE_BINDINGS)]

    def _get(self, key: Key) -> Object | None:
        entry = self._store.get(key)
        return None if entry is None else self._decode(entry)


def _catch_up(subscription: Subscription) -> None:
    """Read to the end: what changed does not matter, only that something did (and no compaction can hide that)."""
    try:
        while subscription.drain():
            pass
    except StoreError:
        return
