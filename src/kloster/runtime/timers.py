"""What is due later, for everybody: one heap and at most one sleeping task, none while nothing is due.

Cancelled timers stay in the heap until they come up, or until they are more than half of it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from kloster.aio.clock import Clock

_CLOSE_ENOUGH = 1e-6  # floating point: a sleep may end this much before what it was asked for
_SWEEP_FROM = 64

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Timer:
    """One call to come. `due` is in the clock's monotonic seconds."""

    __slots__ = ("_timers", "call", "due")

    def __init__(self, due: float, call: Callable[[], None], timers: Timers) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call
        self._timers = timers

    def cancel(self) -> None:
        if self.call is not None:
            self.call = None
            self._timers.cancelled()


class Timers:
    """Calls functions when their time has come."""

    def __init__(self, clock: Clock, spawn: Spawn) -> None:
        self._clock = clock
        self._spawn = spawn
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._sleeper: asyncio.Task[None] | None = None
        self._wakes_at = 0.0
        self._dead = 0

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call `call` (synchronous, must not raise) in `seconds`."""
        timer = Timer(self._clock.monotonic() + max(seconds, 0.0), call, self)
        heapq.heappush(self._heap, (timer.due, next(self._order), timer))
        if self._sleeper is None or timer.due < self._wakes_at:
            self._sleep_anew()
        return timer

    def cancelled(self) -> None:
        self._dead += 1
        if self._dead > _SWEEP_FROM and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._dead = 0
        if self._sleeper is not None and self._dead == len(self._heap):
            self._heap.clear()
            self._dead = 0
            self._sleeper.cancel()
            self._sleeper = None

    def _sleep_anew(self) -> None:
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._wakes_at = self._heap[0][0]
        self._sleeper = self._spawn(self._run(), "timers")

    async def _run(self) -> None:
        while self._heap:
            self._wakes_at = self._heap[0][0]
            wait = self._wakes_at - self._clock.monotonic()
            if wait > _CLOSE_ENOUGH:
                await self._clock.sleep(wait)
                continue
            timer = heapq.heappop(self._heap)[2]
            call, timer.call = timer.call, None
            if call is None:
                self._dead -= 1
            else:
                call()
        self._sleeper = None
