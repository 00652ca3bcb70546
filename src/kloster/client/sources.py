"""Reading a cluster's current objects without asking it each time: the two implementations of `Source`.

`LiveSource` reads the objects of a cluster that this process serves: nothing is copied, nothing can be stale.
`InformerSource` (in `informers`) keeps copies that follow a remote cluster by list and watch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change, Resource
from kloster.client.inprocess import ObjectView

Name = tuple[str, str]


def name_of(item: Object) -> Name:
    """(namespace, name)."""
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class OwnerIndex:
    """Which objects of a resource belong to whom: their names by owner UID, and those that no owner controls."""

    def __init__(self) -> None:
        self._names: dict[str, dict[Name, None]] = {}

    def add(self, item: Object) -> None:
        name = name_of(item)
        for key in _owners(item):
            self._names.setdefault(key, {})[name] = None

    def remove(self, item: Object) -> None:
        name = name_of(item)
        for key in _owners(item):
            names = self._names.get(key)
            if names is not None:
                names.pop(name, None)
                if not names:
                    del self._names[key]

    def names(self, namespace: str, uid: str) -> list[Name]:
        """Sorted. Without a namespace those of all."""
        if uid or namespace:
            found = list(self._names.get(uid or _uncontrolled(namespace), ()))
        else:
            found = [name for key, names in self._names.items() if key.startswith("/") for name in names]
        return sorted(name for name in found if namespace in ("", name[0]))


def _uncontrolled(namespace: str) -> str:
    return f"/{namespace}"


def _owners(item: Object) -> Iterable[str]:
    """The keys under which an object is found; no UID begins with a slash."""
    metadata = item["metadata"]
    references = metadata.get("ownerReferences") or ()
    for reference in references:
        yield reference["uid"]
    if not any(reference.get("controller") for reference in references):
        yield _uncontrolled(metadata.get("namespace", ""))


class LiveSource:
    """A view of a cluster in this process.

    `subscribe` also takes `resources.EVERYTHING`: changes of every resource, whose `Change.resource` then is
    EVERYTHING as well and whose objects say by apiVersion and kind what they are.
    An index by owner is kept for each resource that `owned_by` was asked for, until `close`.
    """

    def __init__(self, view: ObjectView) -> None:
        self._view = view
        self._indexes: dict[str, tuple[OwnerIndex, Callable[[], None]]] = {}

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._view.get(resource.id, namespace, name)

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        return self._view.list(_id(resource), namespace)

    def owned_by(self, resource: Resource, namespace: str, uid: str) -> Sequence[Object]:
        names = self._index(resource).names(namespace, uid)
        found = (self._view.get(resource.id, *name) for name in names)
        return [item for item in found if item is not None]

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            handler(Change(resource, old, new))

        cancel = self._view.subscribe(_id(resource), changed)
        for item in self._view.list(_id(resource)):
            handler(Change(resource, None, item))
        return cancel

    def close(self) -> None:
        """Drop the indexes. The source remains usable and would build them anew."""
        for _, cancel in self._indexes.values():
            cancel()
        self._indexes.clear()

    def _index(self, resource: Resource) -> OwnerIndex:
        known = self._indexes.get(resource.id)
        if known is not None:
            return known[0]
        index = OwnerIndex()

        def changed(old: Object | None, new: Object | None) -> None:
            if old is not None:
                index.remove(old)
            if new is not None:
                index.add(new)

        self._indexes[resource.id] = index, self._view.subscribe(resource.id, changed)
        for item in self._view.list(resource.id):
            index.add(item)
        return index


def _id(resource: Resource) -> str:
    return resource.id if resource.plural else ""
