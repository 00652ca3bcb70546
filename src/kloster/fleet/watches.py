"""Watches that outlast the parking of their cluster.

A connection that watches costs no more than a connection: while nothing happens, nothing of the cluster need be in
memory for it. When the cluster is parked, each open watch is *laid aside*: what is kept is the request, the
resourceVersion that it has come to, and the frame of a bookmark that says so. Bookmarks that fall due meanwhile are
sent from there, because the revision of a parked cluster does not move. When the cluster is brought back, the request
is asked again from that resourceVersion on, with authentication and authorization: who may no longer watch is cut off.

Only a watch that has been shown everything is laid aside without loss; another is sent to list again, as upstream does
with those who come too late. What is here is the way of one watch; `slot` decides when.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

from kloster.apiserver.watch import Rest, WatchStream, bookmark_due
from kloster.client.transport import Request, Response

_REPLACED = frozenset({"resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds"})


class LastingWatch:
    """The stream of a watch, whatever becomes of its cluster meanwhile. Close it with `aclose`.

    on_end     called once when it has ended
    """

    __slots__ = ("_closed", "_counted", "_on_end", "_request", "_rest", "_stream", "_timer", "_waiter")

    def __init__(self, request: Request, stream: WatchStream, on_end: Callable[[LastingWatch], None]) -> None:
        self._request = request
        self._stream: WatchStream | None = stream
        self._counted, stream.on_close = stream.on_close, None
        self._on_end = on_end
        self._rest: Rest | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def is_quiet(self, revision: int) -> bool:
        """Whether the peer has been sent everything up to `revision`, at which the cluster is."""
        return self._stream is not None and self._stream.has_shown(revision)

    def lay_aside(self) -> None:
        """The cluster is about to be closed: keep what is needed to go on later."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._rest = stream.lay_aside()
            self._wake()

    def go_on(self, ask: Callable[[Request], Response]) -> None:
        """The cluster is there again. `ask` answers requests."""
        rest, self._rest = self._rest, None
        if rest is None or self._closed:
            return
        stream = ask(self._again(rest)).stream
        if isinstance(stream, WatchStream):
            self._stream = stream
        else:
            self._closed = True  # refused: the peer asks again and is told why
        self._wake()

    def _again(self, rest: Rest) -> Request:
        left = rest.end - asyncio.get_running_loop().time()
        query = [
            *(pair for pair in self._request.query if pair[0] not in _REPLACED),
            ("resourceVersion", str(rest.revision)),
            ("timeoutSeconds", str(max(1, math.ceil(left)))),
        ]
        return replace(self._request, query=query)

    def __aiter__(self) -> LastingWatch:
        return self

    async def __anext__(self) -> bytes:
        while not self._closed:
            stream = self._stream
            if stream is None:
                chunk = await self._rested()
                if chunk is not None:
                    return chunk
                continue
            try:
                return await anext(stream)
            except StopAsyncIteration:
                if self._stream is stream:
                    break  # else it was laid aside meanwhile
        await self.aclose()
        raise StopAsyncIteration

    async def _rested(self) -> bytes | None:
        """Wait while it is laid aside. Returns a bookmark that has come due; None to look again."""
        rest, loop = self._rest, asyncio.get_running_loop()
        if rest is None or loop.time() >= rest.end:
            self._closed = True
            return None
        if rest.next_bookmark is not None and loop.time() >= rest.next_bookmark:
            rest.next_bookmark = bookmark_due(loop.time(), rest.end)
            return rest.bookmark
        self._waiter = loop.create_future()
        due = rest.end if rest.next_bookmark is None else rest.next_bookmark
        self._timer = loop.call_at(due, self._wake)
        try:
            await self._waiter
        finally:
            self._timer.cancel()
            self._waiter = self._timer = None
        return None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """Have it end: the cluster is not coming back."""
        self._closed = True
        self._wake()
        if self._stream is not None:
            self._stream.close()

    def _end(self) -> None:
        """Tell those who count, once."""
        counted, self._counted = self._counted, None
        if counted is not None:
            counted()
        on_end, self._on_end = self._on_end, _nobody
        on_end(self)

    async def aclose(self) -> None:
        """Release everything. Idempotent."""
        self.end()
        self._stream = self._rest = None
        self._end()


def _nobody(_: LastingWatch) -> None:
    """Everybody has been told."""
