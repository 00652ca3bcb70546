"""Reading a cluster's current objects without asking it each time: the two implementations of `Source`.

`LiveSource` reads the objects of a cluster that this process serves: nothing is copied, nothing can be stale.
`InformerSource` (in `informers`) keeps copies that follow a remote cluster by list and watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change, Resource
from kloster.client.inprocess import ObjectView


def is_owned_by(item: Object, uid: str) -> bool:
    """Whether one of the object's ownerReferences names `uid`."""
    references = item["metadata"].get("ownerReferences")
    return bool(references) and any(reference["uid"] == uid for reference in references)


class LiveSource:
    """A view of a cluster in this process.

    `subscribe` also takes `resources.EVERYTHING`: changes of every resource, whose `Change.resource` then is
    EVERYTHING as well and whose objects say by apiVersion and kind what they are.
    """

    def __init__(self, view: ObjectView) -> None:
        self._view = view

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._view.get(resource.id, namespace, name)

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        return self._view.list(_id(resource), namespace)

    def owned_by(self, resource: Resource, namespace: str, uid: str) -> Sequence[Object]:
        return [item for item in self._view.list(resource.id, namespace) if is_owned_by(item, uid)]

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            handler(Change(resource, old, new))

        cancel = self._view.subscribe(_id(resource), changed)
        for item in self._view.list(_id(resource)):
            handler(Change(resource, None, item))
        return cancel


def _id(resource: Resource) -> str:
    return resource.id if resource.plural else ""
