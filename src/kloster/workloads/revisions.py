"""The history of a template: ControllerRevisions of StatefulSets and DaemonSets.

A revision holds a template; its number says how recent it is. Rolling back makes an old revision the newest again.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/controller-revision-v1/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.resources import CONTROLLER_REVISIONS
from kloster.runtime.api import Context
from kloster.workloads import hashing, ownership


def template_of(revision: Object) -> Object:
    """The pod template that a revision holds."""
    template: Object = revision["data"]["spec"]["template"]
    return {name: value for name, value in template.items() if name != "$patch"}


def newest_last(revisions: Iterable[Object]) -> list[Object]:
    return sorted(
        revisions,
        key=lambda item: (
            int(item.get("revision") or 0),
            item["metadata"].get("creationTimestamp") or "",
            item["metadata"]["name"],
        ),
    )


def hash_of(revision: Object, label: str) -> str:
    return str((revision["metadata"].get("labels") or {}).get(label, ""))


def new_revision(owner: Object, label: str, number: int, collisions: int) -> Object:
    """The revision of the owner's current template. `label` is where its hash is kept."""
    metadata, template = owner["metadata"], owner["spec"]["template"]
    digest = hashing.digest(template, collisions)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), label: digest}
    made: Object = {
        "name": f"{metadata['name'][:223]}-{digest}",
        "namespace": metadata["namespace"],
        "labels": labels,
        "ownerReferences": [ownership.controller_reference(owner)],
    }
    if metadata.get("annotations"):
        made["annotations"] = metadata["annotations"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": made,
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        "revision": number,
    }


def find_equal(owner: Object, known: Sequence[Object]) -> Object | None:
    """The newest revision with the owner's template."""
    template = owner["spec"]["template"]
    for revision in reversed(known):
        if hashing.normal(template_of(revision)) == hashing.normal(template):
            return revision
    return None


async def sync(context: Context, resource: Resource, owner: Object, label: str) -> tuple[list[Object], Object]:
    """(all revisions, oldest first; the one of the current template), creating or renumbering it if need be."""
    selector = ownership.selector_of(owner)
    known = newest_last(await ownership.claim(context, CONTROLLER_REVISIONS, owner, resource, selector))
    number = int(known[-1].get("revision") or 0) + 1 if known else 1
    equal = find_equal(owner, known)
    if equal is not None and equal is known[-1]:
        return known, equal
    if equal is not None:
        renumbered = await context.client.update(CONTROLLER_REVISIONS, {**equal, "revision": number})
        return [*(item for item in known if item is not equal), renumbered], renumbered
    made = await _create(context, resource, owner, label, number)
    return [*known, made], made


async def _create(context: Context, resource: Resource, owner: Object, label: str, number: int) -> Object:
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    wanted = new_revision(owner, label, number, collisions)
    try:
        return await context.client.create(CONTROLLER_REVISIONS, wanted)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        metadata = wanted["metadata"]
        found = await context.client.get(CONTROLLER_REVISIONS, metadata["namespace"], metadata["name"])
        if hashing.normal(found.get("data")) == hashing.normal(wanted["data"]):
            return found
        status = {**(owner.get("status") or {}), "collisionCount": collisions + 1}
        await context.client.update_status(resource, {**owner, "status": status})
        raise


async def truncate(context: Context, known: Sequence[Object], live: set[str], limit: int) -> None:
    """Delete the oldest revisions beyond `limit`; those named in `live` are in use."""
    idle = [item for item in known if item["metadata"]["name"] not in live]
    for item in idle[: max(0, len(idle) - limit)]:
        metadata = item["metadata"]
        try:
            await context.client.delete(
                CONTROLLER_REVISIONS, metadata["namespace"], metadata["name"], uid=metadata["uid"]
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise
