"""DELETECOLLECTION: deletes what a list with the same selectors would show, a hundred objects to a transaction.

Objects that vanish meanwhile are no error. The answer is the list as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apiserver import options, selection
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import delete, list
from kloster.apiserver.verbs.delete import DeleteOptions, Deletion
from kloster.client.transport import Response
from kloster.stores.api import Decision, Key, Operation, View

_TOGETHER = 100


async def serve(call: Call) -> Response:
    asked = options.parse(call)
    settings = delete.parse(call)
    form = list.check_form(call)
    shown = list.page(call, asked, selection.select(call, asked))
    entries = shown.entries
    for start in range(0, len(entries), _TOGETHER):
        keys = [entry.key for entry in entries[start : start + _TOGETHER]]
        await call.cluster.store.transact(_decision(call, settings, keys))
    return list.answer(call, form, shown)


def _decision(call: Call, settings: DeleteOptions, keys: Sequence[Key]) -> Decision:
    def decide(view: View) -> Sequence[Operation]:
        operations: tuple[Operation, ...] = ()
        for key in keys:
            entry = view.get(key)
            if entry is not None:
                operations += tuple(Deletion(call, settings).decide(view, entry))
        return operations

    return decide
