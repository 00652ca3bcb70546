"""Creating and deleting pods on behalf of an owner, with the events that upstream writes about it.

Creations go in batches that double (1, 2, 4, …) while they succeed, so that a quota is hit once and not five hundred
times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import PODS
from kloster.runtime.api import Context
from kloster.workloads.ownership import controller_reference

BURST = 500  # most pods that one reconciliation creates or deletes


def pod_from_template(template: Object, owner: Object, *, name: str = "") -> Object:
    """A pod as `owner` makes it; without `name` the server generates one from the owner's."""
    metadata = template.get("metadata") or {}
    made: Object = {"name": name} if name else {"generateName": f"{owner['metadata']['name']}-"}
    made["namespace"] = owner["metadata"]["namespace"]
    for field in ("labels", "annotations", "finalizers"):
        if metadata.get(field):
            made[field] = metadata[field]
    made["ownerReferences"] = [controller_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template.get("spec") or {}}


def namespace_is_terminating(error: StatusError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


async def create(context: Context, owner: Object, pod: Object) -> Object | None:
    """Create one pod. None if its namespace is being deleted: then nothing can be done and nothing need be."""
    try:
        made = await context.client.create(PODS, pod)
    except StatusError as error:
        if namespace_is_terminating(error):
            return None
        context.recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
        raise
    context.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
    return made


async def create_many(context: Context, owner: Object, pods: Sequence[Object]) -> None:
    """Create pods in doubling batches; the first error of a batch is raised after the batch has ended."""
    await in_batches([lambda pod=pod: create(context, owner, pod) for pod in pods])  # type: ignore[misc]


async def in_batches(calls: Sequence[Callable[[], Coroutine[Any, Any, Any]]]) -> None:
    done, size = 0, 1
    while done < len(calls):
        batch = calls[done : done + size]
        await all_of(call() for call in batch)
        done += len(batch)
        size *= 2


async def all_of(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Run everything at once to the end, then raise the first error."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def delete(context: Context, owner: Object, pod: Object) -> None:
    """Delete one pod, only this very one. That it is gone already is success."""
    metadata = pod["metadata"]
    try:
        await context.client.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
    except StatusError as error:
        if error.code in (404, 409):
            return
        context.recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
        raise
    context.recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata['name']}")


async def delete_many(context: Context, owner: Object, pods: Iterable[Object]) -> None:
    await all_of(delete(context, owner, pod) for pod in pods)
