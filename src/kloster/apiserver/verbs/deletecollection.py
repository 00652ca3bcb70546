"""DELETECOLLECTION: deletes what a list with the same selectors would show, one object after the other.

Objects that vanish meanwhile are no error. The answer is the list as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apiserver import options, selection
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import delete, list
from kloster.apiserver.verbs.delete import Deletion
from kloster.client.transport import Response
from kloster.stores.api import Decision, Key, Operation, View


async def serve(call: Call) -> Response:
    asked = options.parse(call)
    settings = delete.parse(call)
    form = list.check_form(call)
    shown = list.page(call, asked, selection.select(call, asked))
    store = call.cluster.store
    for entry in shown.entries:
        await store.transact(_decision(Deletion(call, settings), entry.key))
    return list.answer(call, form, shown)


def _decision(deletion: Deletion, key: Key) -> Decision:
    def decide(view: View) -> Sequence[Operation]:
        entry = view.get(key)
        return () if entry is None else deletion.decide(view, entry)

    return decide
