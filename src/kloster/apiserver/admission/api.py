"""What an admission plugin is: functions on one attempted write.

`Attempt` is upstream's admission.Attributes: what is being done, by whom, to what, and the state that it is
decided on. Plugins run synchronously inside the store's transaction, so what they read there stays true until the write
is done. `mutate` may change `attempt.item`; `validate` may only refuse; both by raising StatusError. `allocate` runs
late and may add operations to the same transaction (an IPAddress beside a Service). `charge` runs last, when the object
is as it will be stored: it may refuse, and add operations, but changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kloster.apimachinery import Object
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.resources import Served
from kloster.client.transport import User
from kloster.stores.api import Key, Operation, View

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


def _itself(item: Object) -> Object:
    return item


def _instead(_: Object, shown: Object) -> Object:
    return shown


@dataclass(frozen=True, slots=True)
class Shape:
    """What webhooks are shown of a write through a subresource with a kind of its own.

    show   what is shown, from the object that is written (in the storage version)
    take   that object, changed as what was shown
    """

    group: str
    version: str
    kind: str
    type: StructType
    show: Callable[[Object], Object] = _itself
    take: Callable[[Object, Object], Object] = _instead

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One write that is being decided.

    item    the new object, in the storage version; empty for DELETE
    old     the object that it replaces or removes
    shape   what webhooks see in its place, if it is not the object itself
    single  the request names it: it is not one of a collection that is deleted
    also    further operations of the same transaction
    """

    cluster: ServedCluster
    view: View
    user: User
    served: Served
    operation: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    item: Object = field(default_factory=dict)
    old: Object | None = None
    shape: Shape | None = None
    single: bool = True
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    also: list[Operation] = field(default_factory=list)

    def shown(self, item: Object) -> Object:
        """What webhooks see of `item`."""
        return item if self.shape is None else self.shape.show(item)

    def read(self, resource_id: str, namespace: str, name: str) -> Object | None:
        """Another object of the cluster, in the state that the write is decided on. Shared: do not change it."""
        served = self.cluster.resources.stored_as(resource_id)
        if served is None:
            return None
        found = self.view.get(Key(served.id, namespace, name))
        return None if found is None else self.cluster.forms.object(served, found)

    def scan(self, resource_id: str, namespace: str = "") -> list[Object]:
        """All objects of a resource, likewise."""
        served = self.cluster.resources.stored_as(resource_id)
        if served is None:
            return []
        return [self.cluster.forms.object(served, entry) for entry in self.view.scan(served.id, namespace)]


Check = Callable[[Attempt], None]


def _ignore(_: Attempt) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One admission plugin. `name` is upstream's; `resources` are storage ids (empty: all of them)."""

    name: str
    operations: frozenset[str]
    resources: frozenset[str] = frozenset()
    subresources: frozenset[str] = frozenset({""})
    mutate: Check = _ignore
    validate: Check = _ignore
    allocate: Check = _ignore
    charge: Check = _ignore

    @property
    def allocates(self) -> bool:
        return self.allocate is not _ignore

    def concerns(self, operation: str, resource: str, subresource: str, off: frozenset[str]) -> bool:
        """`resource` is a storage id, `off` are the names of plugins that do not run."""
        if operation not in self.operations or self.name in off:
            return False
        if self.resources and resource not in self.resources:
            return False
        return not self.subresources or subresource in self.subresources
