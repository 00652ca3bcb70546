"""What a controller is.

The contract is controller-runtime's: `reconcile` gets a key, not an event; it reads current state and moves it one
step nearer to what is wanted; it may be called at any time, any number of times, and never twice at once for one
key. Raising means: try again with back-off. `Result.after` means: come again at that time.

One `Dispatcher` runs the controllers of all clusters; a cluster without work costs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kloster.aio.clock import Clock
from kloster.apimachinery import Object
from kloster.client.api import Change, Resource, Source
from kloster.client.client import Client


class Key(NamedTuple):
    """What to reconcile. `namespace` is empty for cluster-scoped objects."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """Come again after `after` seconds (None: only when something changes)."""

    after: float | None = None


class Recorder(Protocol):
    """Records Kubernetes events (core/v1 Event), deduplicated and counted as upstream's recorder does."""

    def event(self, regarding: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """`field_path` names a part of the object: ``spec.containers{web}``."""
        ...

    def for_component(self, component: str) -> Recorder:
        """The same recorder, speaking as another component (``source.component`` of its events)."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a controller is given: one cluster, one identity.

    settings   values for this cluster that controllers need (cluster domain, CA bundle, service CIDR, ...)
    memory     what one controller remembers of this cluster while it is attached; each controller has its own
    """

    cluster: str
    client: Client
    source: Source
    recorder: Recorder
    clock: Clock
    settings: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


def same_object(change: Change) -> Iterable[Key]:
    """The usual mapping: an object's own key."""
    metadata = change.object["metadata"]
    return (Key(metadata.get("namespace", ""), metadata["name"]),)


def only_read(_: Change) -> bool:
    """`relevant` of a resource that a controller reads without being woken by it."""
    return False


@dataclass(frozen=True, slots=True)
class Watch:
    """Changes of `resource` become keys by `keys`. `relevant` drops changes that cannot matter.

    lookup    instead of `keys` where the cluster must be looked at (which Services select this pod?)
    """

    resource: Resource
    keys: Callable[[Change], Iterable[Key]] = same_object
    relevant: Callable[[Change], bool] | None = None
    lookup: Callable[[Context, Change], Iterable[Key]] | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller. `name` is kube-controller-manager's name for it (``deployment-controller``).

    component ``source.component`` of its events where upstream's differs from its name
    start     for what a table of watches cannot say: called once for each cluster with a function that enqueues a
              key; returns a function that ends it
    """

    name: str
    watches: tuple[Watch, ...]
    reconcile: Callable[[Context, Key], Awaitable[Result | None]]
    start: Callable[[Context, Callable[[Key], None]], Callable[[], None]] | None = None
    component: str = ""
