"""Webhooks about what is never stored: bindings, evictions, tokens, reviews, and connections to pods.

Nothing is decided in a transaction here, so they are asked at once, and what they have left is what goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from kloster.apimachinery import Object
from kloster.apimachinery.cloning import clone
from kloster.apiserver.admission.api import CREATE, Attempt, Shape
from kloster.apiserver.admission.webhooks.exchange import exchange
from kloster.apiserver.call import Call
from kloster.apiserver.pending import Pending


def _nothing(_: object) -> None:
    return None


async def asked(
    call: Call,
    item: Object,
    shape: Shape,
    options: Object | None,
    *,
    name: str = "",
    operation: str = CREATE,
    dry_run: bool = False,
    settle: Callable[[Object], None] = _nothing,
) -> Object:
    """`item` as webhooks leave it. Raises StatusError if one refuses.

    name     that of the request, if its URL has none
    settle   what is done to the object after it was changed, before it can be refused
    """
    target = call.target
    place = (operation + target.subresource, target.namespace, target.name or name)
    while True:
        attempt = Attempt(
            cluster=call.cluster,
            view=call.cluster.store,
            user=call.user,
            served=call.resource,
            operation=operation,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name or name,
            item=clone(item),
            shape=shape,
            dry_run=dry_run,
            warnings=call.warnings,
        )
        found = exchange(call, call.cluster.store, call.resource, place)
        if found is None:
            settle(attempt.item)
            return attempt.item
        try:
            found.begin(0)
            found.mutate(attempt, options, _nothing)
            settle(attempt.item)
            found.validate(attempt, options)
            return attempt.item
        except Pending as pending:
            await pending.ask(call.outside)
