"""Long synchronous work, beside the event loop: a few threads, shared fairly.

The model first. A thread of pure Python gives the interpreter away every few milliseconds, so the loop goes on serving
everybody while such work runs; it only must not run in too many threads, for the loop is one contender among them. Work
has an *owner* (a tenant): of each owner one piece runs at a time, the others queue behind it, and owners take turns.

What runs aside must keep to what is its own. Whatever is shared with the loop it asks the loop for: `on_loop` calls a
function there and waits; called from anywhere else it simply calls.

A thread lives as long as one piece of work: nothing is held while there is none.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")

_here = threading.local()


class Busy(Exception):
    """An owner has too much work waiting already."""


class Abandoned(Exception):
    """Nobody waits for this work any more: it ends at the next thing that it asks the loop for."""


class _Piece:
    """One piece of work that runs in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.abandoned = False
        self._asked: Future[Any] | None = None

    def ask(self, work: Callable[[], Result]) -> Result:
        """In the thread: have the loop do it."""
        asked: Future[Result] = Future()
        self._asked = asked
        self.loop.call_soon_threadsafe(self._do, work, asked)
        return asked.result()

    def _do(self, work: Callable[[], Result], asked: Future[Result]) -> None:
        if asked.done():
            return
        if self.abandoned:
            asked.set_exception(Abandoned())
            return
        try:
            asked.set_result(work())
        except Exception as error:
            asked.set_exception(error)

    def abandon(self) -> None:
        """In the loop: its answer is not wanted any more."""
        self.abandoned = True
        asked = self._asked
        if asked is not None and not asked.done():
            asked.set_exception(Abandoned())


def on_loop(work: Callable[Parameters, Result], *args: Parameters.args, **more: Parameters.kwargs) -> Result:
    """Calls `work` where the loop runs: at once, unless this is work that runs aside."""
    piece: _Piece | None = getattr(_here, "piece", None)
    if piece is None:
        return work(*args, **more)
    return piece.ask(lambda: work(*args, **more))


class Aside:
    """`threads` pieces of work at a time, of each owner one; `waiting` more of each owner may queue."""

    def __init__(self, threads: int = 2, waiting: int = 64) -> None:
        self._threads = threads
        self._most = waiting
        self._running: set[Hashable] = set()
        self._queues: dict[Hashable, deque[asyncio.Future[None]]] = {}  # the owner whose turn is next comes first

    async def run(self, owner: Hashable, work: Callable[[], Result]) -> Result:
        """The result of `work`, done in a thread when it is the owner's turn. Raises Busy, and what `work` raises."""
        await self._turn(owner)
        loop = asyncio.get_running_loop()
        piece, done = _Piece(loop), loop.create_future()

        def thread() -> None:
            _here.piece = piece
            result, error = None, None
            try:
                result = work()
            except BaseException as failure:
                error = failure
            with suppress(RuntimeError):  # the loop has ended meanwhile; nobody waits
                loop.call_soon_threadsafe(finish, result, error)

        def finish(result: Any, error: BaseException | None) -> None:
            self._leave(owner)
            if not done.done():
                if error is None:
                    done.set_result(result)
                else:
                    done.set_exception(error)

        try:
            threading.Thread(target=thread, name="aside", daemon=True).start()
        except RuntimeError:
            self._leave(owner)
            raise
        try:
            found: Result = await done
        except asyncio.CancelledError:
            piece.abandon()
            raise
        return found

    async def _turn(self, owner: Hashable) -> None:
        """Waits until `owner` may run something, and notes that it does."""
        queue = self._queues.get(owner)
        if queue is None and owner not in self._running and len(self._running) < self._threads:
            self._running.add(owner)
            return
        if queue is None:
            queue = self._queues[owner] = deque()
        if len(queue) >= self._most:
            raise Busy
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave(owner)  # the turn had come
            else:
                self._forget(owner, place)
            raise

    def _forget(self, owner: Hashable, place: asyncio.Future[None]) -> None:
        queue = self._queues.get(owner)
        if queue is not None:
            if place in queue:
                queue.remove(place)
            if not queue:
                del self._queues[owner]

    def _leave(self, owner: Hashable) -> None:
        """A piece of work of `owner` is over: whose turn is it?"""
        self._running.discard(owner)
        for candidate in list(self._queues):
            if len(self._running) >= self._threads:
                return
            if candidate in self._running:
                continue
            queue = self._queues.pop(candidate)
            while queue:
                place = queue.popleft()
                if not place.done():
                    self._running.add(candidate)
                    place.set_result(None)
                    break
            if queue:
                self._queues[candidate] = queue  # to the end
