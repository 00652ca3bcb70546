"""A served cluster's objects for those who run beside it: the `ObjectView` of `kloster.client.inprocess`.

Objects are decoded once per version and shared (`forms`). Changes are handed on while they are published, in the order
of their revisions, so whoever got an answer to a write finds it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from kloster.apimachinery import Object
from kloster.apiserver import storage
from kloster.apiserver.forms import FormCache
from kloster.apiserver.pending import Pending
from kloster.apiserver.resources import Resources, Served
from kloster.stores.api import Compacted, Entry, Key, Store, StoreClosed, Subscription

log = structlog.get_logger(__name__)

Handler = Callable[[Object | None, Object | None], None]


class LiveView:
    """Current objects of one cluster, by ``group/plural``."""

    __slots__ = ("_forms", "_generation", "_id", "_known", "_resources", "_store")

    def __init__(self, id: str, store: Store, resources: Resources, forms: FormCache) -> None:
        self._id = id
        self._store = store
        self._resources = resources
        self._forms = forms
        self._generation = -1
        self._known: dict[str, Served | None] = {}

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        entry = self._store.get(Key(resource, namespace, name))
        return None if entry is None else self.object(entry)

    def entry(self, resource: str, namespace: str, name: str) -> Entry | None:
        """As `get`, not decoded."""
        return self._store.get(Key(resource, namespace, name))

    def holds(self, entry: Entry) -> bool:
        """Whether this is still the newest version of its object."""
        return self._store.get(entry.key) is entry

    def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        if not resource:
            ids = dict.fromkeys(served.id for served in self._resources if served.direct)
            return [item for id in ids for item in self.list(id, namespace)]
        served = self._served(resource)
        if served is None:
            return []
        return [self._decoded(served, entry) for entry in self._store.scan(resource, namespace)]

    def subscribe(self, resource: str, handler: Handler) -> Callable[[], None]:
        return _Follower(self, self._id, self._store, resource, handler).close

    def object(self, entry: Entry) -> Object | None:
        """The decoded object; None if its resource is served no longer."""
        served = self._served(entry.key.resource)
        return None if served is None else self._decoded(served, entry)

    def _decoded(self, served: Served, entry: Entry) -> Object:
        """Who reads here cannot wait for a conversion webhook. What was stored in an older version and has not been
        converted lately is shown as it was stored, in the name of the present one: the metadata is right."""
        try:
            return self._forms.object(served, entry)
        except Pending:
            return storage.nominal(served, entry)

    def _served(self, resource: str) -> Served | None:
        resources = self._resources
        if resources.generation != self._generation:
            self._known.clear()
            self._generation = resources.generation
        if resource not in self._known:
            self._known[resource] = resources.stored_as(resource)
        return self._known[resource]


class _Follower:
    """Hands changes of one resource to one handler."""

    __slots__ = ("_closed", "_handler", "_id", "_resource", "_store", "_subscription", "_view")

    def __init__(self, view: LiveView, id: str, store: Store, resource: str, handler: Handler) -> None:
        self._view = view
        self._id = id
        self._store = store
        self._resource = resource
        self._handler = handler
        self._closed = False
        self._subscription = self._subscribe()

    def _subscribe(self) -> Subscription:
        return self._store.subscribe(self._resource, self._store.revision, self._wake)

    def close(self) -> None:
        self._closed = True
        self._subscription.close()

    def _wake(self) -> None:
        try:
            while not self._closed and (events := self._subscription.drain()):
                for event in events:
                    self._hand_on(event.old, event.new)
        except StoreClosed:
            self.close()
        except Compacted:
            # Cannot happen while every publication wakes us; if it does, be loud and go on from here.
            log.error("changes were compacted before they were seen", cluster=self._id, resource=self._resource)
            self._subscription = self._subscribe()

    def _hand_on(self, old: Entry | None, new: Entry | None) -> None:
        before = None if old is None else self._view.object(old)
        after = None if new is None else self._view.object(new)
        if before is None and after is None:
            return
        try:
            self._handler(before, after)
        except Exception:
            log.exception("a handler of changes failed", cluster=self._id, resource=self._resource)
