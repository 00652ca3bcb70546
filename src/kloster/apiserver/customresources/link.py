"""Custom resources: keeps what a cluster serves in step with its CustomResourceDefinitions.

How a definition becomes kinds (schema graph, columns, strategy) is the business of the builder that is plugged in; here
is only when: for every definition that is there when the cluster is opened, and each time that one is written or
removed, before the writer gets its answer. Nothing but the changed definition's kinds is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from kloster.apimachinery import Object
from kloster.apiserver import storage
from kloster.apiserver.resources import Resources, Served
from kloster.stores.api import Compacted, Store, StoreClosed, Subscription

log = structlog.get_logger()

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"

Builder = Callable[[Object], Sequence[Served]]
"""The resources that a CustomResourceDefinition brings: none while it is not established, one for each served version.

All of a definition's `Served` share one `storage` kind; `stamp` tells the generation of its schema, so that objects
stored before a change are defaulted and pruned anew when they are read.
"""


class CustomResources:
    """The link between one cluster's definitions and its resources. Lives as long as the cluster is open."""

    __slots__ = ("_build", "_id", "_resources", "_subscription")

    def __init__(self, id: str, store: Store, resources: Resources, build: Builder) -> None:
        self._id = id
        self._resources = resources
        self._build = build
        self._subscription: Subscription = store.subscribe(DEFINITIONS, store.revision, self._wake)
        served = resources.stored_as(DEFINITIONS)
        if served is not None:
            for entry in store.scan(DEFINITIONS):
                self._replace(entry.key.name, storage.thaw(served, entry))

    def close(self) -> None:
        self._subscription.close()

    def _wake(self) -> None:
        served = self._resources.stored_as(DEFINITIONS)
        while served is not None:
            try:
                events = self._subscription.drain()
            except (Compacted, StoreClosed):
                return
            if not events:
                return
            for event in events:
                # Not through the cache of forms: a definition is large, and nobody will read it again soon.
                new = None if event.new is None else storage.thaw(served, event.new)
                self._replace(event.key.name, new)

    def _replace(self, name: str, definition: Object | None) -> None:
        found: Sequence[Served] = ()
        if definition is not None:
            try:
                found = self._build(definition)
            except Exception:
                log.exception("a custom resource definition cannot be served", cluster=self._id, name=name)
        known = self._resources.custom.get(name, ())
        if tuple(found) != known:  # `Served` compare by identity: a builder gives the same ones for the same definition
            self._resources.replace(name, found)
