"""Long work in the event loop itself, a slice at a time."""

from __future__ import annotations

import asyncio
from time import perf_counter

SLICE = 0.005
"""Seconds that others wait, at the least, when a slice begins."""


class Turn:
    """Tells work that it is somebody else's turn.

    turn = Turn()
    for item in many:
        work(item)
        if turn.over():
            await turn.next()
    """

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = perf_counter() + SLICE

    def over(self) -> bool:
        return perf_counter() > self._end

    def renew(self) -> None:
        """A slice begins."""
        self._end = perf_counter() + SLICE

    async def next(self) -> None:
        """Lets others run."""
        await asyncio.sleep(0)
        self.renew()
