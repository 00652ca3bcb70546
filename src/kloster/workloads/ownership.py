"""Who controls what.

An object has at most one controlling owner: the ownerReference with ``controller: true``. A controller *claims* what
its selector matches: it adopts what nobody controls, and releases what it controls but no longer selects.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change, Resource
from kloster.kinds import selector as selectors
from kloster.runtime.api import Context, Key


def controller_of(item: Object) -> Object | None:
    """The reference to the controlling owner."""
    for reference in item["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def is_controlled_by(item: Object, owner: Object) -> bool:
    reference = controller_of(item)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def controller_reference(owner: Object) -> Object:
    """The reference by which `owner` controls what it creates."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


@dataclass(frozen=True, slots=True)
class Claims:
    """What is to be done about candidates: `owned` is kept, `adopt` and `release` are to be changed."""

    owned: list[Object]
    adopt: list[Object]
    release: list[Object]


def sort_claims(owner: Object, selector: Object, candidates: Iterable[Object]) -> Claims:
    """Pure part of claiming. What is being deleted is neither adopted, nor does a deleted owner adopt."""
    claims = Claims([], [], [])
    deleting = "deletionTimestamp" in owner["metadata"]
    for item in candidates:
        metadata = item["metadata"]
        reference = controller_of(item)
        fits = selectors.matches(selector, metadata.get("labels"))
        if reference is not None:
            if reference["uid"] != owner["metadata"]["uid"]:
                continue
            if fits:
                claims.owned.append(item)
            elif not deleting:
                claims.release.append(item)
        elif fits and not deleting and "deletionTimestamp" not in metadata:
            claims.adopt.append(item)
    return claims


async def claim(
    context: Context, resource: Resource, owner: Object, owner_resource: Resource, selector: Object
) -> list[Object]:
    """Everything of `resource` in the owner's namespace that belongs to it, after adopting and releasing."""
    namespace = owner["metadata"]["namespace"]
    source = context.source
    candidates = [
        *source.owned_by(resource, namespace, owner["metadata"]["uid"]),
        *source.owned_by(resource, namespace, ""),
    ]
    claims = sort_claims(owner, selector, {item["metadata"]["uid"]: item for item in candidates}.values())
    for item in claims.release:
        await _release(context, resource, owner, item)
    if claims.adopt:
        await _check_may_adopt(context, owner_resource, owner)
    owned = claims.owned
    for item in claims.adopt:
        adopted = await _adopt(context, resource, owner, item)
        if adopted is not None:
            owned.append(adopted)
    return owned


async def _check_may_adopt(context: Context, resource: Resource, owner: Object) -> None:
    """Before adopting, ask the server itself: an owner that is being deleted must not gain dependents."""
    metadata = owner["metadata"]
    fresh = await context.client.get(resource, metadata["namespace"], metadata["name"])
    if fresh["metadata"]["uid"] != metadata["uid"] or "deletionTimestamp" in fresh["metadata"]:
        raise StatusError(409, "Conflict", f"{metadata['name']} has been deleted or replaced: it adopts nothing")


async def _adopt(context: Context, resource: Resource, owner: Object, item: Object) -> Object | None:
    metadata = item["metadata"]
    patch = {"metadata": {"uid": metadata["uid"], "ownerReferences": [controller_reference(owner)]}}
    return await _patch(context, resource, item, patch)


async def _release(context: Context, resource: Resource, owner: Object, item: Object) -> None:
    reference = {"$patch": "delete", "uid": owner["metadata"]["uid"]}
    patch = {"metadata": {"uid": item["metadata"]["uid"], "ownerReferences": [reference]}}
    await _patch(context, resource, item, patch)


async def _patch(context: Context, resource: Resource, item: Object, patch: Object) -> Object | None:
    """None if the object is gone, or is another one of the same name by now."""
    metadata = item["metadata"]
    try:
        return await context.client.patch(resource, metadata["namespace"], metadata["name"], patch, type="strategic")
    except StatusError as error:
        if error.code in (404, 422):
            return None
        raise


def keys_of_owner(kind: str) -> Callable[[Change], Iterable[Key]]:
    """Keys of the controlling owners of that kind, before and after a change."""

    def keys(change: Change) -> Iterable[Key]:
        return [
            Key(item["metadata"].get("namespace", ""), reference["name"])
            for item in (change.old, change.new)
            if item is not None and (reference := controller_of(item)) is not None and reference["kind"] == kind
        ]

    return keys


def keys_of_claimants(owners: Resource) -> Callable[[Context, Change], Iterable[Key]]:
    """Keys of the controlling owners, or, for what nobody controls, of all whose selector matches it.

    What nobody controls concerns them when it comes, when its labels change, and when its owner lets it go: not when it
    runs.
    """
    of_owner = keys_of_owner(owners.kind)

    def keys(context: Context, change: Change) -> Iterable[Key]:
        item, old = change.new, change.old
        free = item is not None and controller_of(item) is None
        if free and old is not None and controller_of(old) is None and _labels(old) == _labels(item):
            return ()
        found = list(of_owner(change))
        if item is None or not free or "deletionTimestamp" in item["metadata"]:
            return found
        namespace, labels = item["metadata"]["namespace"], item["metadata"].get("labels")
        if not labels:
            return found
        for owner in context.source.list(owners, namespace):
            if selects(owner, labels):
                found.append(Key(namespace, owner["metadata"]["name"]))
        return found

    return keys


def _labels(item: Object | None) -> object:
    return item["metadata"].get("labels") if item is not None else None


def selects(owner: Object, labels: dict[str, str]) -> bool:
    """Whether the owner's spec.selector matches; an empty selector selects nothing."""
    selector = selector_of(owner)
    return not selectors.is_empty(selector) and selectors.matches(selector, labels)


def selector_of(owner: Object) -> Object:
    """spec.selector as a LabelSelector, also where the kind has a plain map (ReplicationController)."""
    selector: Object = owner["spec"].get("selector") or {}
    if owner["kind"] == "ReplicationController":
        return {"matchLabels": selector}
    return selector


def oldest_first(items: Iterable[Object]) -> list[Object]:
    """By creation time, then name."""
    return sorted(items, key=lambda item: (item["metadata"].get("creationTimestamp") or "", item["metadata"]["name"]))


def names(items: Sequence[Object]) -> list[str]:
    return [item["metadata"]["name"] for item in items]
