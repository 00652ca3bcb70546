"""The connections of a server: who is there, what they share, and how they end.

One timer serves the deadlines of all connections: it ticks once a second, as long as there are any. The Date header is
renewed with it, and the budget that requests' bodies are taken from is one for all.

Answers that are ready at once leave together: the loop handles all requests that have come in, then sends all their
answers. So who waits for answers is woken once for many of them; waking for each costs more than sending it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol

import structlog

from kloster.apiserver.http.budget import Budget
from kloster.apiserver.http.repeated import Blocks
from kloster.apiserver.http.sites import Directory, Site

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, but for the last two. head and idle are upstream's ReadHeaderTimeout and IdleTimeout."""

    handshake: float = 10.0
    head: int = 32
    body: int = 60
    idle: int = 90
    stall: int = 120
    shutdown: float = 5.0
    handshakes: int = 1024  # at the same time; more are hung up on
    bodies: int = 256 * 1024 * 1024  # bytes of requests held at the same time (`budget`)


TOGETHER = 32
"""Connections whose answers leave together: more do not save more, and the first answers should not wait."""


class Member(Protocol):
    """A connection, as all of them are looked after.

    site      whose it is; None on the common address
    deadline  the tick after which it expires
    """

    site: Site | None
    deadline: int

    def expire(self) -> None:
        """The deadline has passed."""
        ...

    def finish(self) -> None:
        """Answer what has been asked, then close."""
        ...

    def abort(self) -> None:
        """Drop the connection and whatever it is doing."""
        ...


class Corked(Protocol):
    """Who has something to send soon."""

    def uncork(self) -> None:
        """Send it."""
        ...


class Connections:
    """All connections of one event loop, and what they share."""

    def __init__(self, directory: Directory, limits: Limits) -> None:
        self.directory = directory
        self.limits = limits
        self.budget = Budget(limits.bodies)
        self.blocks = Blocks()
        self.tick = 0
        self.idle_deadline = limits.idle  # of a connection that goes idle now
        self.date = ""  # the Date header's value, renewed once a second while there are connections
        self.loop = asyncio.get_running_loop()
        self._members: set[Member] = set()
        self._corked: list[Corked] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._departed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._members)

    def joined(self, member: Member) -> None:
        self._members.add(member)
        if self._timer is None:
            self.date = formatdate(time.time(), usegmt=True)
            self._timer = self.loop.call_later(1.0, self._second)

    def left(self, member: Member) -> None:
        self._members.discard(member)
        self._departed.set()

    def cork(self, member: Corked) -> None:
        """Call `member.uncork` once the requests that have come in are handled."""
        corked = self._corked
        corked.append(member)
        if len(corked) == 1:
            self.loop.call_soon(self._uncork)
        elif len(corked) == TOGETHER:
            self._uncork()

    def _uncork(self) -> None:
        corked, self._corked = self._corked, []
        for member in corked:
            try:
                member.uncork()
            except Exception:  # the others' answers must leave
                log.exception("answers could not be sent")

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task for an answer that takes time."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _second(self) -> None:
        self.second()
        self._timer = self.loop.call_later(1.0, self._second) if self._members else None

    def second(self) -> None:
        """A second has passed: end those whose deadline has."""
        self.tick += 1
        self.idle_deadline = self.tick + self.limits.idle
        self.date = formatdate(time.time(), usegmt=True)
        tick = self.tick
        for member in [one for one in self._members if one.deadline < tick]:
            member.expire()

    async def end_site(self, name: str, grace: float) -> None:
        """End the connections of one cluster."""
        await self._end([one for one in self._members if one.site is not None and one.site.name == name], grace)

    async def end(self, grace: float) -> None:
        """End all connections, and the timer."""
        await self._end(self._members, grace)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _end(self, members: Iterable[Member], grace: float) -> None:
        """Let requests finish within `grace` seconds, then drop what is left."""
        mine = set(members)
        for member in mine:
            member.finish()
        try:
            async with asyncio.timeout(grace):
                while mine := mine & self._members:
                    self._departed.clear()
                    await self._departed.wait()
        except TimeoutError:
            for member in mine & self._members:
                member.abort()
        await asyncio.sleep(0)  # lets cancelled tasks close their streams
