"""What of a copied state must become the fork's own, in one transaction before anybody sees the fork.

A fork has everything that its source had, UIDs included: owner references must go on to hold. But what identifies a
cluster, what lets somebody in, and what says where something runs is true of the source alone:

- The UID of kube-system, by which many tools know a cluster, follows from the fork's own ID; owner references to it
  are kept true.
- The certificate authority that is published in every namespace is the fork's. Tokens of the source that lie in
  Secrets are taken out: the fork would refuse them, and whoever reads the fork could use them on the source.
- Pods that have not ended start anew: no node, no address, no restarts. Pods that have ended stay as they ended. Pods
  that were being deleted have gone. Endpoints forget the addresses of the source's pods, which answer for the source.
- Workloads have no pod that is ready, until their controllers count again: who waits for them must not be told yes.
- Claims have no volume, and what was shown of their volumes has gone: the data stayed with the source.
- Leases, and the annotation that older clients elect by, have no holder: who held them leads the source.
- Events about what starts anew are about another life.

The same state naturalized again is the same again, so a fork that is reset is what it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from kloster.apimachinery import Object
from kloster.apiserver import bootstrap, storage
from kloster.apiserver.resources import Resources
from kloster.fleet import anew
from kloster.stores.api import Entry, Key, Operation, Remove, View
from kloster.stores.layers import Layer, Table
from kloster.syncer.storage import is_copy

KUBE_SYSTEM = Key("/namespaces", "", "kube-system")
LEADING = ("/configmaps", "/endpoints")
COUNTING = (
    "/replicationcontrollers",
    *(f"apps/{plural}" for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")),
)
TOKEN = "kubernetes.io/service-account-token"
LEADER = anew.LEADER.encode()
TOGETHER = 128 << 10
"""Bytes that are looked through at once."""


def own_uid(id: str) -> str:
    """The UID of kube-system in the fork whose VirtualCluster has the UID `id`."""
    return str(uuid.uuid5(uuid.UUID(id), "kube-system"))


@dataclass(frozen=True, slots=True)
class Own:
    """What the fork has for itself. `resources` tell how its objects are kept."""

    uid: str
    ca_bundle: str
    resources: Resources


def is_done(view: View, uid: str) -> bool:
    """Whether the state is the fork's own already."""
    system = view.get(KUBE_SYSTEM)
    return system is not None and _uid(system) == uid


class Mentions(NamedTuple):
    """Objects that may have kube-system for an owner, and objects that may say who leads."""

    owner: list[Key]
    leader: list[Key]


def mentions(layers: Sequence[Layer], view: View) -> Mentions:
    """Looks at every byte, so it belongs in a thread. What was found in a layer is remembered with it, so the next
    fork of the same cluster looks only at what has changed meanwhile."""
    system = view.get(KUBE_SYSTEM)
    if system is None:
        return Mentions([], [])
    uid = _uid(system).encode()
    found = [_mentioned(layer, uid) for layer in layers]
    return Mentions([key for one in found for key in one.owner], [key for one in found for key in one.leader])


def _mentioned(layer: Layer, uid: bytes) -> Mentions:
    if isinstance(layer.memo, tuple) and layer.memo[0] == uid:
        known: Mentions = layer.memo[1]
        return known
    found = Mentions([], [])
    for resource, table in layer.tables.items():
        wanted = [(uid, found.owner), (LEADER, found.leader)] if resource in LEADING else [(uid, found.owner)]
        for batch in _batches(table):
            # Nearly always nobody says any of it, which one look at all of them tells.
            whole = b"\n".join([part for entry in batch for part in (entry.head, entry.tail)])
            for text, keys in wanted:
                if text in whole:
                    keys.extend(entry.key for entry in batch if text in entry.head or text in entry.tail)
    layer.memo = (uid, found)
    return found


def _batches(table: Table) -> Iterator[list[Entry]]:
    batch, size = list[Entry](), 0
    for entry in table.entries.values():
        if entry is not None:
            batch.append(entry)
            size += len(entry.head) + len(entry.tail)
            if size > TOGETHER:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def operations(view: View, own: Own, mentioning: Mentions) -> list[Operation]:
    """The transaction."""
    system = view.get(KUBE_SYSTEM)
    if system is None or _uid(system) == own.uid:
        return []
    found = dict(_changes(view, own))
    for key in mentioning.leader:
        _edit(view, own, key, found, anew.without_leader)
    owners = {_uid(system): own.uid}
    for key in mentioning.owner:
        _edit(view, own, key, found, lambda item: _with_owner(item, owners))
    return [Remove(key) if item is None else _put(own, key, item) for key, item in found.items()]


def _edit(
    view: View, own: Own, key: Key, found: dict[Key, Object | None], change: Callable[[Object], Object | None]
) -> None:
    """Change one object further, unless it is to go."""
    entry = view.get(key)
    if entry is None or (key in found and found[key] is None) or own.resources.stored_as(key.resource) is None:
        return  # the last: left by a definition that is no more
    item = change(found.get(key) or _thawed(own, entry))
    if item is not anew.SAME:
        found[key] = item


Changed = Iterator[tuple[Key, Object | None]]
"""Objects as they must be; None for those that must go."""


def _changes(view: View, own: Own) -> Changed:
    """`own` applied to every kind that needs it."""
    pods = dict(_each(view, own, "/pods", anew.pod))
    yield from pods.items()
    yield from _each(view, own, KUBE_SYSTEM.resource, lambda item: _identity(item, own.uid))
    yield from _config_maps(view, own)
    for resource in COUNTING:
        yield from _each(view, own, resource, anew.workload)
    yield from _each(view, own, "/secrets", anew.secret, lambda entry: entry.fields.get("type") == TOKEN)
    yield from _each(view, own, "/persistentvolumeclaims", anew.claim)
    yield from _each(view, own, "/persistentvolumes", lambda volume: None if is_copy(volume) else anew.SAME)
    yield from _each(view, own, "/services", anew.service)
    yield from _each(view, own, "/endpoints", lambda item: _endpoints(view, own, item))
    yield from _each(view, own, "discovery.k8s.io/endpointslices", anew.endpoint_slice)
    yield from _each(view, own, "coordination.k8s.io/leases", anew.lease)
    restarted = {_uid(entry) for key in pods if (entry := view.get(key)) is not None}
    for entry in view.scan("/events"):
        if entry.fields.get("involvedObject.uid") in restarted:
            yield entry.key, None


def _each(
    view: View,
    own: Own,
    resource: str,
    change: Callable[[Object], Object | None],
    relevant: Callable[[Entry], bool] = lambda entry: True,
) -> Changed:
    for entry in view.scan(resource):
        if relevant(entry):
            item = change(_thawed(own, entry))
            if item is not anew.SAME:
                yield entry.key, item


def _identity(namespace: Object, uid: str) -> Object:
    if namespace["metadata"]["name"] != KUBE_SYSTEM.name:
        return anew.SAME
    namespace["metadata"]["uid"] = uid
    return namespace


def _config_maps(view: View, own: Own) -> Changed:
    """Those that say whom to trust."""
    authentication = {
        "extension-apiserver-authentication": bootstrap.authentication(own.ca_bundle, own.ca_bundle)["data"]
    }
    root = {"kube-root-ca.crt": {"ca.crt": own.ca_bundle}}
    for namespace in view.scan("/namespaces"):
        wanted = {**root, **authentication} if namespace.key == KUBE_SYSTEM else root
        for name, data in wanted.items():
            entry = view.get(Key("/configmaps", namespace.key.name, name))
            if entry is not None:
                yield entry.key, {**_thawed(own, entry), "data": data}


def _endpoints(view: View, own: Own, item: Object) -> Object:
    metadata = item["metadata"]
    service = view.get(Key("/services", metadata["namespace"], metadata["name"]))
    if service is None or not _thawed(own, service)["spec"].get("selector") or not item.pop("subsets", None):
        return anew.SAME
    return item


def _with_owner(item: Object, owners: Mapping[str, str]) -> Object:
    references = item["metadata"].get("ownerReferences") or ()
    if not any(one["uid"] in owners for one in references):
        return anew.SAME
    for one in references:
        one["uid"] = owners.get(one["uid"], one["uid"])
    return item


def _uid(entry: Entry) -> str:
    text: Object = orjson.loads(b"{" + entry.head + b"0" + entry.tail)
    return str(text["metadata"]["uid"])


def _thawed(own: Own, entry: Entry) -> Object:
    served = own.resources.stored_as(entry.key.resource)
    assert served is not None, "only kinds that every version serves are looked at"
    return storage.thaw(served, entry)


def _put(own: Own, key: Key, item: Object) -> Operation:
    served = own.resources.stored_as(key.resource)
    assert served is not None
    return storage.put(served, item)
