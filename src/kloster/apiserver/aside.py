"""Requests that take long: their work is done beside the event loop, in which all other tenants wait.

The model first. Whether a request is long is decided by bytes: those of its body and those of the object that it is
about (`is_long`). What a short one does is done at once, as if this module were not there. A long one reads its body,
decides and encodes in a thread (`kloster.aio.aside`), one of its cluster's at a time.

A store decides in the loop, against the newest state there is. So a long decision is made *in advance*, on what is
published, noting all that it read; the store then only checks, in its turn, that all of it is still the newest, which
takes microseconds. If somebody was faster it is made again, as upstream does it with etcd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from kloster.aio.aside import Abandoned, Busy, on_loop
from kloster.apimachinery import errors
from kloster.apiserver import storage
from kloster.apiserver.call import Call
from kloster.apiserver.pending import Pending
from kloster.apiserver.resources import LOOPS
from kloster.stores.api import Decision, Entry, Event, Key, Operation, Store, View

Result = TypeVar("Result")

LONG = 64 << 10
"""Bytes. Reading, checking and writing that many takes ten milliseconds or so, if they are the worst."""

_LOOPED = (LONG, LONG >> 4, 0)
"""What is long if rules or policies look at each item, or at all pairs of them."""

_TRIES = 8


def is_long(call: Call) -> bool:
    """Whether reading and writing what `call` is about holds up others."""
    size = len(call.request.body)
    if call.served is not None and call.served.wide:
        return size > 0
    if size > _LOOPED[max(call.served.loops if call.served is not None else 0, call.cluster.memo.get(LOOPS, 0))]:
        return True
    if size <= LONG and call.target.name and call.served is not None:
        target = call.target
        found = call.cluster.store.get(storage.key_of(call.served, target.namespace, target.name))
        if found is not None:
            size += size_of(found)
    return size > LONG


def size_of(entry: Entry) -> int:
    return len(entry.head) + len(entry.tail)


async def run(call: Call, long: bool, work: Callable[[], Result]) -> Result:
    """What `work` comes to: at once unless it is `long`. Raises StatusError 429 if its cluster has much of that."""
    if not long:
        return work()
    try:
        return await call.cluster.aside.run(call.cluster.id, work)
    except Busy:
        raise errors.too_many_requests("too many requests, please try again later.") from None


async def transact(call: Call, long: bool, decide: Decision) -> Sequence[Event]:
    """As `Store.transact`. A `long` decision may be made several times, so it must begin anew each time; so may one
    that has to wait for webhooks."""
    while True:
        told = len(call.warnings)
        try:
            return await _transact(call, long, decide)
        except Pending as pending:
            del call.warnings[told:]  # the next decision warns again
            await pending.ask(call.outside)


async def _transact(call: Call, long: bool, decide: Decision) -> Sequence[Event]:
    store = call.cluster.store
    if not long:
        return await store.transact(decide)
    for _ in range(_TRIES):
        trial = _Trial(store, decide)
        await run(call, long, trial.decide)
        try:
            return await store.transact(trial.confirm)
        except _Overtaken:
            continue
    served = call.resource
    raise errors.stale(served.group, served.plural, call.target.name)


class _Overtaken(Exception):
    """Somebody else has changed what a decision was made on."""


class _Trial:
    """A decision in advance, and the view that it is made on: what is published, with a note of all that was read."""

    def __init__(self, store: Store, decide: Decision) -> None:
        self._store = store
        self._decide = decide
        self._read: dict[Key, Entry | None] = {}
        self._scans: dict[tuple[str, str, tuple[str, str] | None], list[Entry]] = {}
        self._operations: Sequence[Operation] = ()
        self._failure: Exception | None = None

    def get(self, key: Key) -> Entry | None:
        if key not in self._read:
            self._read[key] = on_loop(self._store.get, key)
        return self._read[key]

    def scan(self, resource: str, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[Entry]:
        asked = (resource, namespace, after)
        if asked not in self._scans:
            self._scans[asked] = on_loop(lambda: list(self._store.scan(*asked)))
        return iter(self._scans[asked])

    def decide(self) -> None:
        """In the thread."""
        try:
            self._operations = self._decide(self)
        except Abandoned:
            raise
        except Exception as failure:
            self._failure = failure

    def confirm(self, view: View) -> Sequence[Operation]:
        """In the store: the decision, if it would be the same now."""
        if any(view.get(key) is not entry for key, entry in self._read.items()):
            raise _Overtaken
        if any(list(view.scan(*asked)) != entries for asked, entries in self._scans.items()):
            raise _Overtaken
        if self._failure is not None:
            raise self._failure
        return self._operations
