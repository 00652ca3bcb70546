"""The one writer of a store: decide, gather, commit, publish, acknowledge.

The model first. A write is in one of three places:

    gathering ──commit──▶ in flight ──durable──▶ published ──▶ acknowledged

Decisions run synchronously in the event loop against all three, the newest on top, so two writers never race:
the second sees what the first decided. While one batch is being committed (in a thread, by the `Committer`) the
next one gathers; hence the slower the disk, the larger the batches (group commit). Only one batch is in flight.

Nothing is shown to readers before it is durable, and no answer leaves before what it was derived from is
durable: a decision that raised or changed nothing waits for the newest batch that it could see.

A commit that fails aborts its batch and the batch gathered on top of it: every caller gets `StoreFailed`, and the
revisions that they used are never used again.

There is no task and no thread while a store is idle; completion callbacks drive everything. So a caller that is
cancelled leaves its write on its way: what was decided is committed.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from kloster.stores.api import (
    Decision,
    Entry,
    Event,
    Key,
    Operation,
    Put,
    StoreBroken,
    StoreClosed,
    StoreFailed,
    View,
)
from kloster.stores.broadcast import Log
from kloster.stores.layers import Stack, Table
from kloster.stores.state import Overlay

Result = TypeVar("Result")


class Committer(Protocol):
    """What makes a batch durable. Called in the event loop; at most one call is outstanding."""

    def commit(self, events: Sequence[Event]) -> asyncio.Future[None]:
        """Commit all of `events` or nothing. Fails with anything; `StoreBroken` means for good."""
        ...

    def upkeep(self) -> asyncio.Future[None] | None:
        """House-keeping that is due now (nobody waits for it but the next batch), or None."""
        ...


class _Batch:
    """Changes that become durable together, and who waits for them."""

    __slots__ = ("events", "tables", "waiters")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tables: dict[str, Table] = {}
        self.waiters: list[tuple[asyncio.Future[Sequence[Event]], Sequence[Event]]] = []

    def add(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        for event in events:
            table = self.tables.get(event.key.resource)
            if table is None:
                table = self.tables[event.key.resource] = Table()
            table.put(event.key, event.new)

    def wait(self, result: Sequence[Event]) -> asyncio.Future[Sequence[Event]]:
        future: asyncio.Future[Sequence[Event]] = asyncio.get_running_loop().create_future()
        self.waiters.append((future, result))
        return future

    def succeed(self) -> None:
        for future, result in self.waiters:
            if not future.done():
                future.set_result(result)

    def fail(self, error: Callable[[], Exception]) -> None:
        for future, _ in self.waiters:
            if not future.done():
                future.set_exception(error())


class Writer:
    """Drives one store's writes. `overlay` and `log` are changed by nobody else."""

    def __init__(self, overlay: Overlay, log: Log, committer: Committer) -> None:
        self._overlay = overlay
        self._log = log
        self._committer = committer
        self._issued = overlay.revision
        self._gathering: _Batch | None = None
        self._in_flight: _Batch | None = None
        self._busy = False  # something of ours is scheduled or running
        self._newest: Stack | None = None
        self._errands: deque[Callable[[], None]] = deque()
        self._finished: asyncio.Future[None] | None = None
        self._closed = False
        self._broken: str | None = None

    async def transact(self, decide: Decision) -> Sequence[Event]:
        """See `kloster.stores.api.Store.transact`."""
        self._check_usable()
        try:
            events = self._to_events(decide(self._view()))
        except Exception:
            await self._settled()
            raise
        if not events:
            await self._settled()
            return ()
        return await self._gather(events).wait(events)

    async def errand(self, start: Callable[[], asyncio.Future[Result]], then: Callable[[Result], object]) -> None:
        """Run something that needs the committer for itself, between two batches.

        `then` is given its result before the next batch may start. Raises what the errand raised.
        """
        self._check_usable()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def finish(job: asyncio.Future[Result]) -> None:
            error = _error_of(job)
            if error is None:
                then(job.result())
                self._newest = None
            if done.done():
                pass  # whoever asked is gone; the errand is done all the same
            elif error is not None:
                done.set_exception(_translated(error))
            else:
                done.set_result(None)
            self._advance()

        self._errands.append(lambda: start().add_done_callback(finish))
        self._kick()
        await done

    def close(self) -> asyncio.Future[None]:
        """Refuse new writes from now on. The result is there when those that were accepted are done."""
        self._closed = True
        if self._finished is None:
            self._finished = asyncio.get_running_loop().create_future()
            if not self._busy:
                self._finished.set_result(None)
        return self._finished

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise StoreBroken(self._broken)
        if self._closed:
            raise StoreClosed

    def _view(self) -> Stack:
        if self._newest is None:
            pending = [batch.tables for batch in (self._gathering, self._in_flight) if batch is not None]
            self._newest = Stack([*pending, *self._overlay.maps])
        return self._newest

    def _to_events(self, operations: Sequence[Operation]) -> list[Event]:
        events = numbered(operations, self._view(), self._issued)
        if events:
            self._issued = events[-1].revision
        return events

    def _gather(self, events: Sequence[Event]) -> _Batch:
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch()
            self._newest = None
        batch.add(events)
        self._kick()
        return batch

    async def _settled(self) -> None:
        """Wait until everything that a decision could see is durable. Raises StoreFailed if it will not be."""
        newest = self._gathering or self._in_flight
        if newest is not None:
            await newest.wait(())

    def _kick(self) -> None:
        if not self._busy:
            self._busy = True
            # Not at once: whoever writes in this turn of the loop shares the commit.
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Start whatever is next; called whenever the committer has become free."""
        if self._errands:
            self._errands.popleft()()
        elif self._gathering is not None:
            batch = self._in_flight = self._gathering
            self._gathering = None
            self._newest = None
            self._committer.commit(batch.events).add_done_callback(lambda job: self._committed(batch, job))
        else:
            self._busy = False
            if self._finished is not None and not self._finished.done():
                self._finished.set_result(None)

    def _committed(self, batch: _Batch, job: asyncio.Future[None]) -> None:
        self._in_flight = None
        self._newest = None
        error = _error_of(job)
        if error is None:
            self._overlay.apply(batch.events)
            self._log.publish(batch.events)
            batch.succeed()
        else:
            self._abort(batch, error)
        chore = self._committer.upkeep()
        if chore is None:
            self._advance()
        else:
            chore.add_done_callback(self._kept_up)

    def _kept_up(self, chore: asyncio.Future[None]) -> None:
        error = _error_of(chore)
        if error is not None:  # no write was lost: the committer reopens its file at the next commit
            asyncio.get_running_loop().call_exception_handler({"message": "store upkeep failed", "exception": error})
        self._advance()

    def _abort(self, batch: _Batch, error: BaseException) -> None:
        if isinstance(error, StoreBroken):
            self._broken = str(error)
        stacked, self._gathering = self._gathering, None
        for doomed in (batch, stacked):
            if doomed is not None:
                doomed.fail(lambda: _translated(error))


def numbered(operations: Sequence[Operation], view: View, issued: int) -> list[Event]:
    """What `operations` change, with revisions above `issued`; each sees those before it in the same transaction."""
    events: list[Event] = []
    changed: dict[Key, Entry | None] = {}
    for operation in operations:
        key = operation.key
        old = changed[key] if key in changed else view.get(key)
        if isinstance(operation, Put):
            issued += 1
            key = _shared(key) if old is None else old.key
            new = Entry(
                key,
                issued,
                operation.head,
                operation.tail,
                operation.labels,
                operation.fields,
                operation.version,
            )
            changed[key] = new
            events.append(Event(issued, key, old, new))
        elif old is not None:
            issued += 1
            changed[key] = None
            events.append(Event(issued, old.key, old, None))
    return events


def _shared(key: Key) -> Key:
    """A new object's key: its resource and namespace are the same strings in thousands of keys."""
    return Key(sys.intern(key.resource), sys.intern(key.namespace), key.name)


def _error_of(job: asyncio.Future[Result]) -> BaseException | None:
    return asyncio.CancelledError() if job.cancelled() else job.exception()


def _translated(error: BaseException) -> Exception:
    """A new exception for each caller, so that tracebacks do not grow into each other."""
    if isinstance(error, StoreBroken):
        translated: Exception = StoreBroken(str(error))
    else:
        translated = StoreFailed(f"the write could not be committed: {error or type(error).__name__}")
    translated.__cause__ = error
    return translated
