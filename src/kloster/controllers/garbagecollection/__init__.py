"""garbage-collector-controller: deletes what has lost all of its owners, and serves deletion policies.

An object whose owners are all gone is deleted; if some remain, the references to the others are removed. An owner
that was deleted with policy *Foreground* stays until its blocking dependents are gone; with *Orphan* its dependents
lose their reference to it first. Changes of every resource feed a small graph (`graph`).
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client import discovery
from kloster.client.api import Change, Resource
from kloster.client.resources import CUSTOM_RESOURCE_DEFINITIONS, EVERYTHING
from kloster.controllers.garbagecollection.graph import FOREGROUND, ORPHAN, Graph, Node
from kloster.runtime.api import Context, Controller, Key, Result

_UNKNOWN_KIND = 30.0  # seconds until an owner of a kind that is not served is looked for again
_STATE = "state"


@dataclass(slots=True)
class _State:
    graph: Graph
    enqueue: Callable[[Key], None]
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def look_at(self, uids: list[str]) -> None:
        for uid in uids:
            self.enqueue(Key("", uid))


@dataclass(slots=True)
class _References:
    """An object's owner references by what became of the owner."""

    solid: list[Object] = field(default_factory=list)
    dangling: list[Object] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)


def start(context: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
    state = _State(Graph(), enqueue)
    context.memory[_STATE] = state

    def changed(change: Change) -> None:
        kind = change.object["kind"]
        if kind == "Event":
            return
        if kind == CUSTOM_RESOURCE_DEFINITIONS.kind:
            state.resources.clear()
        state.look_at(state.graph.apply(change))

    return context.source.subscribe(EVERYTHING, changed)


async def reconcile(context: Context, key: Key) -> Result | None:
    """`key.name` is a UID."""
    state: _State = context.memory[_STATE]
    node = state.graph.nodes.get(key.name)
    if node is None:
        return None
    resource = await _resource(context, state, node.api_version, node.kind)
    if resource is None:
        return Result(_UNKNOWN_KIND)
    item = context.source.get(resource, node.namespace, node.name)
    if item is None or item["metadata"]["uid"] != node.uid:
        state.look_at(state.graph.remove(node.uid))
        return None
    if node.waits == ORPHAN:
        await _orphan(context, state, resource, item)
    elif node.waits == FOREGROUND:
        await _advance_foreground(context, state, resource, item)
    elif not node.deleting:
        return await _collect(context, state, resource, node, item)
    return None


async def _collect(context: Context, state: _State, resource: Resource, node: Node, item: Object) -> Result | None:
    references = _References()
    for reference in item["metadata"].get("ownerReferences") or ():
        if not await _classify(context, state, item, reference, references):
            return Result(_UNKNOWN_KIND)
    lost = [*references.dangling, *references.waiting]
    if references.solid:
        if lost:
            gone = {reference["uid"] for reference in lost}
            await _remove_references(context, resource, item, gone)
        return None
    if not lost:
        return None
    dependents = state.graph.dependents(node.uid)
    policy = "Background"
    if references.waiting and dependents:
        if any(state.graph.nodes[uid].waits == FOREGROUND for uid in dependents):
            # A cycle: a dependent waits as well. Nobody may block anybody any more.
            item = await _unblock(context, resource, item)
        policy = "Foreground"
    finalizers = item["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        policy = "Orphan"
    elif FOREGROUND in finalizers:
        policy = "Foreground"
    await _delete(context, resource, item, policy)
    return None


async def _classify(context: Context, state: _State, item: Object, reference: Object, found: _References) -> bool:
    """Sort one reference in. False if that cannot be known now: then nothing is done to the object."""
    if state.graph.is_absent(reference["uid"]):
        found.dangling.append(reference)
        return True
    resource = await _resource(context, state, reference["apiVersion"], reference["kind"])
    if resource is None:
        return False
    namespace = item["metadata"].get("namespace", "")
    if resource.namespaced and not namespace:
        _complain(context, item, reference, "")
        return False
    owner = context.source.get(resource, namespace if resource.namespaced else "", reference["name"])
    if owner is None or owner["metadata"]["uid"] != reference["uid"]:
        owner = await _ask(context, resource, namespace, reference["name"])
    if owner is None or owner["metadata"]["uid"] != reference["uid"]:
        if resource.namespaced and _exists_elsewhere(context, resource, reference["uid"]):
            _complain(context, item, reference, namespace)
        found.dangling.append(reference)
    elif "deletionTimestamp" in owner["metadata"] and FOREGROUND in (owner["metadata"].get("finalizers") or ()):
        found.waiting.append(reference)
    else:
        found.solid.append(reference)
    return True


def _exists_elsewhere(context: Context, resource: Resource, uid: str) -> bool:
    return any(owner["metadata"]["uid"] == uid for owner in context.source.list(resource))


def _complain(context: Context, item: Object, reference: Object, namespace: str) -> None:
    identity = (
        f"[{reference['apiVersion']}/{reference['kind']}, namespace: {namespace}, "
        f"name: {reference['name']}, uid: {reference['uid']}]"
    )
    message = f'ownerRef {identity} does not exist in namespace "{namespace}"'
    context.recorder.event(item, "Warning", "OwnerRefInvalidNamespace", message)


async def _ask(context: Context, resource: Resource, namespace: str, name: str) -> Object | None:
    """The owner as the server knows it: nothing is deleted on a cache's word alone."""
    try:
        return await context.client.get(resource, namespace if resource.namespaced else "", name)
    except StatusError as error:
        if error.code == 404:
            return None
        raise


async def _orphan(context: Context, state: _State, resource: Resource, owner: Object) -> None:
    uid = owner["metadata"]["uid"]
    for dependent in state.graph.dependents(uid):
        node = state.graph.nodes[dependent]
        of = await _resource(context, state, node.api_version, node.kind)
        item = context.source.get(of, node.namespace, node.name) if of is not None else None
        if of is not None and item is not None and item["metadata"]["uid"] == dependent:
            await _remove_references(context, of, item, {uid})
    await _remove_finalizer(context, resource, owner, ORPHAN)


async def _advance_foreground(context: Context, state: _State, resource: Resource, owner: Object) -> None:
    blocking = state.graph.blocking(owner["metadata"]["uid"])
    if not blocking:
        await _remove_finalizer(context, resource, owner, FOREGROUND)
        return
    state.look_at([node.uid for node in blocking if node.waits != FOREGROUND])


async def _remove_references(context: Context, resource: Resource, item: Object, uids: set[str]) -> None:
    references = item["metadata"].get("ownerReferences") or ()
    kept = [reference for reference in references if reference["uid"] not in uids]
    await _patch(context, resource, item, {"ownerReferences": kept or None})


async def _unblock(context: Context, resource: Resource, item: Object) -> Object:
    references = item["metadata"].get("ownerReferences") or ()
    unblocked = [{**reference, "blockOwnerDeletion": False} for reference in references]
    return await _patch(context, resource, item, {"ownerReferences": unblocked}) or item


async def _remove_finalizer(context: Context, resource: Resource, item: Object, finalizer: str) -> None:
    kept = [name for name in item["metadata"].get("finalizers") or () if name != finalizer]
    await _patch(context, resource, item, {"finalizers": kept or None})


async def _patch(context: Context, resource: Resource, item: Object, change: dict[str, Any]) -> Object | None:
    """Merge patch of metadata on exactly this version of exactly this object."""
    metadata = item["metadata"]
    guarded = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], **change}
    try:
        return await context.client.patch(
            resource, metadata.get("namespace", ""), metadata["name"], {"metadata": guarded}, type="merge"
        )
    except StatusError as error:
        if error.code == 404:
            return None
        raise


async def _delete(context: Context, resource: Resource, item: Object, policy: str) -> None:
    metadata = item["metadata"]
    try:
        await context.client.delete(
            resource,
            metadata.get("namespace", ""),
            metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            propagation_policy=policy,
        )
    except StatusError as error:
        if error.code != 404:
            raise


async def _resource(context: Context, state: _State, api_version: str, kind: str) -> Resource | None:
    """The resource of a kind; the version of the reference does not matter, only that its group is served."""
    group = api_version.rpartition("/")[0]
    if (group, kind) not in state.resources:
        for served in await discovery.served(context.client):
            state.resources[(served.resource.group, served.resource.kind)] = served.resource
    return state.resources.get((group, kind))


CONTROLLER = Controller("garbage-collector-controller", (), reconcile, start)
