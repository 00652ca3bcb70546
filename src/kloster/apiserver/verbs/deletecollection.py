"""DELETECOLLECTION: deletes what a list with the same selectors would show, some objects to a transaction.

How many is a matter of time: a transaction ends when others should have their turn. Objects that vanish meanwhile are
no error. The answer is the list as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.aio.turns import Turn
from kloster.apiserver import aside, options, selection
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import delete, pages
from kloster.apiserver.verbs import list as lists
from kloster.apiserver.verbs.delete import DeleteOptions, Deletion
from kloster.client.transport import Response
from kloster.stores.api import Entry, Key, Operation, View

_TOGETHER = 100


async def serve(call: Call) -> Response:
    asked = options.parse(call)
    settings = await aside.run(call, aside.is_long(call), lambda: delete.parse(call))
    form = lists.check_form(call)
    shown = await pages.whole_page(call, asked, selection.select(call, asked))
    entries, done = shown.entries, 0
    while done < len(entries):
        if aside.size_of(entries[done]) > aside.LONG:
            some = _Some(call, settings, entries[done : done + 1])
            await aside.transact(call, True, some.decide)
        else:
            some = _Some(call, settings, entries[done : done + _TOGETHER])
            await aside.transact(call, False, some.decide)
        done += some.done
    return await lists.answer_whole(call, form, shown)


class _Some:
    """The deletion of the first of `entries`: of as many as there is time for, which `done` tells."""

    def __init__(self, call: Call, settings: DeleteOptions, entries: Sequence[Entry]) -> None:
        self._call = call
        self._settings = settings
        self._entries = entries
        self.done = 0

    def decide(self, view: View) -> Sequence[Operation]:
        operations: list[Operation] = []
        turn, self.done = Turn(), 0
        for entry in self._entries:
            if self.done and (turn.over() or aside.size_of(entry) > aside.LONG):
                break
            operations += self._delete(view, entry.key)
            self.done += 1
        return operations

    def _delete(self, view: View, key: Key) -> Sequence[Operation]:
        entry = view.get(key)
        return () if entry is None else Deletion(self._call, self._settings).decide(view, entry)
