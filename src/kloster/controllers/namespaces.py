"""namespace-controller: empties a namespace that is being deleted, then releases it.

Pods go first and everything else only after the last of them (KEP-5080), so that a pod never outlives the policies
around it. What remains, and why, stands in the namespace's conditions. The last step removes the ``kubernetes``
finalizer from spec.finalizers; the API server then deletes the namespace.
https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#automatic-labelling
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from kloster.aio.clock import parse_rfc3339, rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client import discovery
from kloster.client.api import Change, Resource
from kloster.client.errors import ClientError
from kloster.client.resources import NAMESPACES, PODS
from kloster.runtime.api import Context, Controller, Key, Result, Watch

FINALIZER = "kubernetes"
_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}
_WITH_FINALIZERS = 15.0  # seconds after which what has a foreign finalizer is expected to be gone
_LOOK_AGAIN = 2.0


@dataclass(slots=True)
class Remains:
    """What is left in a namespace, and what went wrong."""

    resources: dict[str, int] = field(default_factory=dict)
    finalizers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    discovery_error: str = ""


def conditions(current: list[Object], remains: Remains, now: float) -> list[Object]:
    """The five conditions, each either failing or fine; transition times stay while the status does."""
    failing: dict[str, tuple[str, str]] = {}
    if remains.discovery_error:
        failing["NamespaceDeletionDiscoveryFailure"] = ("DiscoveryFailed", remains.discovery_error)
    if remains.errors:
        text = (
            f"Failed to delete all resource types, {len(remains.errors)} remaining: {', '.join(sorted(remains.errors))}"
        )
        failing["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", text)
    if remains.resources:
        listed = ", ".join(
            sorted(f"{name} has {count} resource instances" for name, count in remains.resources.items())
        )
        failing["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {listed}")
    if remains.finalizers:
        listed = ", ".join(
            sorted(f"{name} in {count} resource instances" for name, count in remains.finalizers.items())
        )
        text = f"Some content in the namespace has finalizers remaining: {listed}"
        failing["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", text)
    known = {condition["type"]: condition for condition in current}
    for kind, fine in _FINE.items():
        status = "True" if kind in failing else "False"
        reason, message = failing.get(kind, fine)
        new: Object = {
            "type": kind,
            "status": status,
            "lastTransitionTime": rfc3339(now),
            "reason": reason,
            "message": message,
        }
        old = known.get(kind)
        if old is not None and old["status"] == status:
            new["lastTransitionTime"] = old.get("lastTransitionTime")
        known[kind] = new
    return list(known.values())


async def reconcile(context: Context, key: Key) -> Result | None:
    namespace = context.source.get(NAMESPACES, "", key.name)
    if namespace is None or "deletionTimestamp" not in namespace["metadata"]:
        return None
    if (namespace.get("status") or {}).get("phase") != "Terminating":
        status = {**(namespace.get("status") or {}), "phase": "Terminating"}
        namespace = await context.client.update_status(NAMESPACES, {**namespace, "status": status})
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    if not finalizers:
        return None
    remains = await _empty(context, key.name)
    namespace = await _report(context, namespace, remains)
    if remains.resources or remains.errors or remains.discovery_error:
        return Result(_wait(namespace, remains, context.clock.now()))
    kept = [name for name in finalizers if name != FINALIZER]
    released = {**namespace, "spec": {**namespace["spec"], "finalizers": kept}}
    try:
        await context.client.update(NAMESPACES, released, subresource="finalize")
    except StatusError as error:
        if error.code != 404:
            raise
    return None


def _wait(namespace: Object, remains: Remains, now: float) -> float:
    """Soon at first; what has resisted for long is looked at less often. The last pod's end comes as a change."""
    age = now - parse_rfc3339(namespace["metadata"]["deletionTimestamp"])
    return _LOOK_AGAIN if age < _WITH_FINALIZERS or not remains.finalizers else _WITH_FINALIZERS / 2


async def _empty(context: Context, name: str) -> Remains:
    remains = Remains()
    await _delete_all(context, PODS, frozenset({"list", "delete", "deletecollection"}), name, remains)
    if remains.resources or remains.errors:
        return remains
    try:
        served = await discovery.served(context.client)
    except (StatusError, ClientError) as error:
        remains.discovery_error = str(error)
        return remains
    for entry in served:
        if entry.resource.namespaced and {"delete", "list"} <= entry.verbs and entry.resource.id != PODS.id:
            await _delete_all(context, entry.resource, entry.verbs, name, remains)
    return remains


async def _delete_all(
    context: Context, resource: Resource, verbs: frozenset[str], namespace: str, remains: Remains
) -> None:
    client = context.client
    try:
        if not (await client.list(resource, namespace, limit=1)).items:
            return
    except StatusError as error:
        if error.code not in (404, 405):  # not served any more, or not to be listed
            remains.errors.append(str(error))
        return
    try:
        if "deletecollection" in verbs:
            await client.delete_collection(resource, namespace, propagation_policy="Background")
        else:
            for item in (await client.list_all(resource, namespace)).items:
                await _delete_one(context, resource, namespace, item)
        left = (await client.list_all(resource, namespace)).items
    except (StatusError, ClientError) as error:
        remains.errors.append(str(error))
        return
    if not left:
        return
    remains.resources[f"{resource.plural}.{resource.group}"] = len(left)
    for item in left:
        remains.finalizers.update(item["metadata"].get("finalizers") or ())


async def _delete_one(context: Context, resource: Resource, namespace: str, item: Object) -> None:
    try:
        await context.client.delete(resource, namespace, item["metadata"]["name"], propagation_policy="Background")
    except StatusError as error:
        if error.code != 404:
            raise


async def _report(context: Context, namespace: Object, remains: Remains) -> Object:
    status = namespace.get("status") or {}
    current = list(status.get("conditions") or ())
    found = conditions(current, remains, context.clock.now())
    if found == current:
        return namespace
    return await context.client.update_status(NAMESPACES, {**namespace, "status": {**status, "conditions": found}})


def _is_terminating(change: Change) -> bool:
    return change.new is not None and "deletionTimestamp" in change.new["metadata"]


def _of_last_pod(context: Context, change: Change) -> Iterable[Key]:
    """A pod has gone: its namespace may be waiting for that."""
    if change.new is not None:
        return ()
    name = change.object["metadata"]["namespace"]
    namespace = context.source.get(NAMESPACES, "", name)
    waiting = namespace is not None and "deletionTimestamp" in namespace["metadata"]
    return (Key("", name),) if waiting else ()


CONTROLLER = Controller(
    "namespace-controller",
    (Watch(NAMESPACES, relevant=_is_terminating), Watch(PODS, lookup=_of_last_pod)),
    reconcile,
)
