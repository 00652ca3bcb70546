"""Finalizers that keep an object while it is used.

Everything of a kind has the finalizer; of what is being deleted it is taken off as soon as nothing uses it.
"""

from __future__ import annotations

from collections.abc import Callable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.runtime.api import Context
from kloster.workloads import pods


async def protect(context: Context, resource: Resource, item: Object, finalizer: str, used: Callable[[], bool]) -> None:
    """`used` is asked only of what is being deleted."""
    metadata = item["metadata"]
    finalizers = list(metadata.get("finalizers") or ())
    if not pods.is_deleting(item):
        if finalizer not in finalizers:
            await _write(context, resource, metadata, [*finalizers, finalizer])
    elif finalizer in finalizers and not used():
        await _write(context, resource, metadata, [name for name in finalizers if name != finalizer])


async def _write(context: Context, resource: Resource, metadata: Object, finalizers: list[str]) -> None:
    guarded = {
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
        "finalizers": finalizers or None,
    }
    try:
        await context.client.patch(resource, metadata.get("namespace", ""), metadata["name"], {"metadata": guarded})
    except StatusError as error:
        if error.code != 404:
            raise
