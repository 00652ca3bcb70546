"""Admission of what is never stored: bindings, evictions, tokens, reviews, and connections to pods.

Nothing is decided in a transaction here, so webhooks are asked at once, and what they have left is what goes on. Of the
built-in plugins policies have a say as well; the others know nothing of such requests.
"""

from __future__ import annotations

from collections.abc import Callable

from kloster.apimachinery import Object
from kloster.apimachinery.cloning import clone
from kloster.apiserver.admission import validating_policies, webhooks
from kloster.apiserver.admission.api import CREATE, Attempt, Shape
from kloster.apiserver.admission.webhooks import hooks
from kloster.apiserver.call import Call
from kloster.apiserver.pending import Pending


def _nothing(_: object) -> None:
    return None


def anybody(call: Call) -> bool:
    """Whether there is somebody to ask; of most clusters nobody."""
    store = call.cluster.store
    return hooks.of_cluster(call.cluster, store) is not None or validating_policies.exist(store)


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
    """`item` as admission leaves it. Raises StatusError if somebody refuses.

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
        found = webhooks.exchange(call, call.cluster.store, call.resource, place)
        try:
            if found is not None:
                found.begin(0)
                found.mutate(attempt, options, _nothing)
            settle(attempt.item)
            if validating_policies.PLUGIN.name not in call.cluster.settings.plugins_off:
                validating_policies.PLUGIN.validate(attempt)
            if found is not None:
                found.validate(attempt, options)
            return attempt.item
        except Pending as pending:
            await pending.ask(call.outside)
