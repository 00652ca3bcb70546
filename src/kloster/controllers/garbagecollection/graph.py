"""Who depends on whom: the part of a cluster's objects that garbage collection needs to remember. No I/O.

Only objects that have owners, or that wait for their dependents (the finalizers ``orphan`` and
``foregroundDeletion``), are nodes. Everything is keyed by UID, since that is what an ownerReference means.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.client.api import Change

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_ABSENT_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Node:
    """An object with owners or waiting for dependents.

    owners      owner UID → whether this dependent blocks the owner's foreground deletion
    waits       the finalizer by which a deleted object waits for its dependents, or ""
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    owners: dict[str, bool]
    deleting: bool
    waits: str


def node_of(item: Object) -> Node | None:
    """None if garbage collection has no interest in the object."""
    metadata = item["metadata"]
    references = metadata.get("ownerReferences") or ()
    deleting = "deletionTimestamp" in metadata
    finalizers = metadata.get("finalizers") or ()
    waits = next((name for name in (ORPHAN, FOREGROUND) if deleting and name in finalizers), "")
    if not references and not waits:
        return None
    return Node(
        item["apiVersion"],
        item["kind"],
        metadata.get("namespace", ""),
        metadata["name"],
        metadata["uid"],
        {reference["uid"]: bool(reference.get("blockOwnerDeletion")) for reference in references},
        deleting,
        waits,
    )


class Graph:
    """Nodes, dependents by owner, and owners known to be gone."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}
        self._absent: OrderedDict[str, None] = OrderedDict()

    def apply(self, change: Change) -> list[str]:
        """Take a change in; returns the UIDs of nodes that are to be looked at because of it."""
        if change.new is None:
            return self.remove(change.object["metadata"]["uid"])
        affected: list[str] = []
        uid = change.new["metadata"]["uid"]
        if change.old is not None and change.old["metadata"]["uid"] != uid:
            affected += self.remove(change.old["metadata"]["uid"])
        old, new = self.nodes.get(uid), node_of(change.new)
        if old == new:
            return affected
        self._forget(uid)
        if new is not None:
            self.nodes[uid] = new
            for owner in new.owners:
                self._dependents.setdefault(owner, set()).add(uid)
            affected.append(uid)
        return affected + self._waiting((*(old.owners if old else ()), *(new.owners if new else ())))

    def remove(self, uid: str) -> list[str]:
        """An object is gone: its dependents, and owners that waited for it, are to be looked at."""
        old = self._forget(uid)
        affected = self.dependents(uid)
        if affected:
            self._absent[uid] = None
            if len(self._absent) > _ABSENT_REMEMBERED:
                self._absent.popitem(last=False)
        return affected + (self._waiting(old.owners) if old is not None else [])

    def is_absent(self, uid: str) -> bool:
        """Whether an object of that UID was seen to go. UIDs never come back."""
        return uid in self._absent

    def dependents(self, uid: str) -> list[str]:
        return sorted(self._dependents.get(uid, ()))

    def blocking(self, uid: str) -> list[Node]:
        """Dependents that hold up the owner's foreground deletion."""
        nodes = (self.nodes[dependent] for dependent in self.dependents(uid))
        return [node for node in nodes if node.owners.get(uid)]

    def _waiting(self, owners: Iterable[str]) -> list[str]:
        return [uid for uid in owners if uid in self.nodes and self.nodes[uid].waits]

    def _forget(self, uid: str) -> Node | None:
        old = self.nodes.pop(uid, None)
        if old is not None:
            for owner in old.owners:
                known = self._dependents.get(owner)
                if known is not None:
                    known.discard(uid)
                    if not known:
                        del self._dependents[owner]
        return old
