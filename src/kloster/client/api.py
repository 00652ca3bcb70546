"""A typed, small Kubernetes client on any transport, and the port for cached reading.

Errors are `kloster.apimachinery.errors.StatusError` with the server's complete Status. Objects are dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from kloster.apimachinery import Object


class Resource(NamedTuple):
    """A resource as one addresses it: group, version and plural, with its kind and scope."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def id(self) -> str:
        """``group/plural``, as keys of the store and switches name it."""
        return f"{self.group}/{self.plural}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path. Without a namespace a namespaced resource means all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace and self.namespaced:
            root += f"/namespaces/{namespace}"
        return "/".join(part for part in (root, self.plural, name, subresource) if part)


PatchType = Literal["json", "merge", "strategic", "apply"]


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A page of a list. Items carry apiVersion and kind, filled in from the list's."""

    items: Sequence[Object]
    resource_version: str
    continue_: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """type is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class Change:
    """An object changed. `old` is None when it is new, `new` is None when it is gone."""

    resource: Resource
    old: Object | None
    new: Object | None

    @property
    def object(self) -> Object:
        """The newest state known."""
        found = self.new if self.new is not None else self.old
        assert found is not None
        return found


class Source(Protocol):
    """Cached reading of a cluster: current as of the last event, shared, hence read-only for everybody.

    In-process it is a view of the served cluster's own objects; over HTTP it is a set of informers.
    Whatever it returns must not be changed: copy first.
    """

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]: ...

    def owned_by(self, resource: Resource, namespace: str, uid: str) -> Sequence[Object]:
        """Objects that have an ownerReference to `uid`; with an empty `uid`, those that no owner controls."""
        ...

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        """Call `handler`, in the event loop, once for each present object and then for each change.

        Returns a function that ends it.
        """
        ...
