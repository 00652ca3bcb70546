"""The stream of a watch: a cursor in the store's log, read when the store says that there is something.

There is no task and no queue for a watch: the connection that sends it pulls the next chunk, the stream drains its
subscription and encodes. A reader that is slow simply stays behind in the log; when the log has moved on without
it, the stream ends and the client lists again. Between events nothing exists but one future and two timer handles.

An object that starts to match the selection is ADDED, one that stops is DELETED with its previous state, and every
DELETED carries the resourceVersion of the change that caused it.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from kloster.apimachinery.errors import StatusError
from kloster.apiserver.pending import Pending
from kloster.apiserver.selection import Selection
from kloster.stores.api import Compacted, Entry, Event, Store, StoreClosed, Subscription

BOOKMARK_INTERVAL = 60.0
_BEFORE_END = 2.0
_BATCH = 200
_FIRST = 8
_MUCH = 1 << 20
"""Bytes of objects that are encoded in one go, and then others have their turn."""


class Frames(Protocol):
    """Encodes events in one form. A watch in one form has one of these."""

    def event(self, type: str, entry: Entry, revision: int) -> bytes: ...

    def bookmark(self, revision: int, initial_end: bool) -> bytes: ...

    def error(self, failure: StatusError) -> bytes: ...

    async def settle(self, pending: Pending) -> None:
        """Ask for what an event needs from outside. Raises StatusError."""
        ...


def change(selected: Selection, event: Event) -> tuple[str, Entry] | None:
    """What an event means to a watch of `selected`: a type and the state to show; None if it does not concern it."""
    new, old = event.new, event.old
    now = new is not None and selected.matches(new)
    before = old is not None and selected.matches(old)
    if now and new is not None:
        return ("MODIFIED" if before else "ADDED"), new
    if before and old is not None:
        return "DELETED", old
    return None


@dataclass(slots=True)
class Rest:
    """What is left of a watch that was laid aside.

    revision        only changes above it are still to be shown
    bookmark        the frame that tells this revision
    next_bookmark   when it is due, None for never; like `end`, when the watch is over, in the loop's time
    """

    revision: int
    bookmark: bytes
    next_bookmark: float | None
    end: float


def bookmark_due(now: float, end: float) -> float | None:
    """The next bookmark comes after a minute, or two seconds before the end."""
    left = end - now - _BEFORE_END
    return now + min(BOOKMARK_INTERVAL, left) if left > 0 else None


class WatchStream:
    """An asynchronous iterator of chunks, each a batch of events. Close it with `aclose`.

    initial        entries to show as ADDED before anything else
    after          only changes above this revision are shown
    mark_initial   a bookmark says where the initial entries end
    bookmarks      progress is told now and then, and shortly before the end
    timeout        seconds until the stream ends
    on_close       called once when the stream has ended, for whoever counts
    valid          asked at every turn: False ends the stream (the resource is served no longer, or in another shape)
    stays          it cannot be laid aside: something is to become of it that another stream would not know of
    """

    __slots__ = (
        "_after",
        "_bookmark_wanted",
        "_closed",
        "_end",
        "_ended",
        "_failure",
        "_frames",
        "_initial",
        "_mark_initial",
        "_next_bookmark",
        "_room",
        "_selected",
        "_subscription",
        "_valid",
        "_waiter",
        "on_close",
        "stays",
    )

    def __init__(
        self,
        store: Store,
        selected: Selection,
        frames: Frames,
        *,
        initial: Sequence[Entry] = (),
        after: int,
        mark_initial: bool = False,
        bookmarks: bool = False,
        timeout: float,
        valid: Callable[[], bool],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._selected = selected
        self._frames = frames
        self._initial: Sequence[Entry] | None = initial if initial or mark_initial else None
        self._after = after
        self._room = _FIRST  # events that are taken in one go
        self._mark_initial = mark_initial
        self._bookmark_wanted = False
        self._valid = valid
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self.on_close: Callable[[], None] | None = None
        self._ended = self.stays = False
        self._failure: Exception | None = None
        self._subscription: Subscription = store.subscribe(selected.served.id, min(after, store.revision), self._wake)
        self._end = loop.call_later(timeout, self._time_is_up)
        self._next_bookmark: asyncio.TimerHandle | None = None
        if bookmarks:
            self._plan_bookmark(loop)

    def _plan_bookmark(self, loop: asyncio.AbstractEventLoop) -> None:
        self._bookmark_wanted = False
        due = bookmark_due(loop.time(), self._end.when())
        if due is not None:
            self._next_bookmark = loop.call_at(due, self._bookmark_due)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _time_is_up(self) -> None:
        self._ended = True
        self._wake()

    def end(self, failure: Exception | None = None) -> None:
        """Let the stream end now, as if its time were up; or, without what it still had to show, with a `failure`:
        an error of the API is the last event, another is raised to who sends the stream."""
        self._failure = failure
        self._time_is_up()

    def _bookmark_due(self) -> None:
        self._next_bookmark = None
        self._bookmark_wanted = True
        self._wake()

    def __aiter__(self) -> WatchStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._closed:
            if self._failure is not None:
                return await self._fail(self._failure)
            if self._initial is not None:
                some = self._some(self._initial)
                chunk = await self._made(partial(self._show_initial, some, len(some) == len(self._initial)))
                self._initial = self._initial[len(some) :] or None
                if self._initial:
                    await asyncio.sleep(0)
                if chunk:
                    return chunk
            if not self._valid():
                break
            try:
                events = self._subscription.drain(self._room)
            except (Compacted, StoreClosed):
                break
            if events and self._adapt(events):
                await asyncio.sleep(0)
            chunk = await self._made(partial(self._encode, events)) if events else b""
            if chunk:
                return chunk
            if events:
                continue
            if self._ended:
                break
            if self._bookmark_wanted:
                self._plan_bookmark(asyncio.get_running_loop())
                return self._bookmark()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        await self.aclose()
        raise StopAsyncIteration

    async def _fail(self, failure: Exception) -> bytes:
        await self.aclose()
        if isinstance(failure, StatusError):
            return self._frames.error(failure)
        raise failure

    async def _made(self, make: Callable[[], Iterator[bytes]]) -> bytes:
        """The chunk, once everything that it needs from outside is known. What cannot be had ends the watch."""
        while True:
            try:
                return b"".join(make())
            except Pending as pending:
                try:
                    await self._frames.settle(pending)
                except StatusError as error:
                    await self.aclose()
                    return self._frames.error(error)

    def _some(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The first of them: as many as may be shown in one go."""
        size = 0
        for number, entry in enumerate(entries[:_BATCH]):
            size += len(entry.head) + len(entry.tail)
            if size > _MUCH:
                return entries[: number + 1]
        return entries[:_BATCH]

    def _adapt(self, events: Sequence[Event]) -> bool:
        """Whether that was much; next time as many events are taken as is right for their size."""
        size = sum(len(event.new.head) + len(event.new.tail) for event in events if event.new is not None)
        much = size > _MUCH
        self._room = max(1, len(events) // 4) if much else min(_BATCH, 2 * self._room)
        return much

    def _show_initial(self, entries: Sequence[Entry], last: bool) -> Iterator[bytes]:
        for entry in entries:
            yield self._frames.event("ADDED", entry, entry.revision)
        if last and self._mark_initial:
            yield self._frames.bookmark(self._after, True)

    def _encode(self, events: Sequence[Event]) -> Iterator[bytes]:
        selected, after = self._selected, self._after
        for event in events:
            if event.revision <= after:
                continue
            shown = change(selected, event)
            if shown is not None:
                yield self._frames.event(shown[0], shown[1], event.revision)

    def _bookmark(self) -> bytes:
        return self._frames.bookmark(max(self._subscription.progress, self._after), False)

    def has_shown(self, revision: int) -> bool:
        """Whether everything up to `revision` has been handed out."""
        if self.stays or self._initial is not None or self._bookmark_wanted:
            return False
        return self._subscription.progress >= revision

    def lay_aside(self) -> Rest | None:
        """End the stream so that another can go on where it was; None if there was more to show from the beginning."""
        rest = None
        if self._initial is None and not self._ended and not self._closed:
            revision = max(self._subscription.progress, self._after)
            due = asyncio.get_running_loop().time() if self._bookmark_wanted else None
            if self._next_bookmark is not None:
                due = self._next_bookmark.when()
            mark = b"" if due is None else self._frames.bookmark(revision, False)
            rest = Rest(revision, mark, due, self._end.when())
        self.close()
        return rest

    async def aclose(self) -> None:
        """See `close`."""
        self.close()

    def close(self) -> None:
        """Release the subscription and the timers. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._subscription.close()
        self._end.cancel()
        if self._next_bookmark is not None:
            self._next_bookmark.cancel()
        self._wake()
        if self.on_close is not None:
            self.on_close()
