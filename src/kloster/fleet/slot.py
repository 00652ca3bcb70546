"""A cluster's place in a process: its address is always there, the cluster itself when somebody needs it.

    parked ──request, due time, change on the host──▶ awake ──nothing for a while──▶ parked

*Parked* means: its port listens and its open connections stay, its pods run on, and nothing else of it is in memory: no
store, no controllers, no caches, no keys. What wakes it comes from outside (a request), from the host (a change in its
namespace there) or from its own clockwork (the earliest timer of its controllers, noted when it was parked).
What keeps it awake: a request being answered, a stream that is open (logs, exec), controllers at work, a write in the
last moments, a timer that is due soon. Open watches do not: they are laid aside and go on afterwards (`watches`).

Waking and parking are one after the other; whoever needs the cluster meanwhile waits for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from kloster.aio.clock import Clock
from kloster.apimachinery import errors
from kloster.apiserver import pipeline
from kloster.apiserver.http.listeners import Listener
from kloster.apiserver.http.sites import LazySite
from kloster.apiserver.http.tls import Material
from kloster.apiserver.watch import WatchStream
from kloster.client.transport import Duplex, Request, Response
from kloster.fleet.assembly import Assembled
from kloster.fleet.watches import LastingWatch
from kloster.fleet.wish import Wish
from kloster.stores.api import StoreError


class Keeper(Protocol):
    """What a slot needs from its shard."""

    clock: Clock

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something that ends with the shard."""
        ...

    async def bring(self, wish: Wish) -> Assembled:
        """Open the cluster from disk. Raises StoreError, DataDirError."""
        ...

    async def put_away(self, wish: Wish, cluster: Assembled, due: float | None) -> None:
        """Close the cluster and note durably when it is due (seconds since 1970)."""
        ...

    def watch_over(self, slot: Slot, due: float | None) -> list[Callable[[], None]]:
        """Call `slot.wake_soon` when the parked cluster must see to something. Returns how to end that."""
        ...

    def failed(self, wish: Wish, error: Exception) -> None:
        """The cluster could not be opened."""
        ...


class Slot:
    """One cluster of a shard. Call it with a request."""

    __slots__ = (
        "_change",
        "_error",
        "_keeper",
        "_seen",
        "_since",
        "_wanted",
        "busy",
        "cluster",
        "ends",
        "listener",
        "port",
        "site",
        "used",
        "watches",
        "wish",
    )

    def __init__(self, keeper: Keeper, wish: Wish, material: Callable[[], Material]) -> None:
        self.wish = wish
        self.site = LazySite(wish.display, self, material)
        self.cluster: Assembled | None = None
        self.port = 0
        self.listener: Listener | None = None
        self.ends: list[Callable[[], None]] = []  # what waits for a reason to wake the cluster
        self.used = keeper.clock.monotonic()
        self.busy = 0  # requests that are not answered yet, streams that are open
        self.watches: set[LastingWatch] = set()
        self._keeper = keeper
        self._change: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._wanted = False
        self._seen = -1
        self._since = self.used

    # -- requests ---------------------------------------------------------------------------------------------------

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        self.used = self._keeper.clock.monotonic()
        cluster = self.cluster
        if cluster is None:
            return self._answer_later(request)
        answer = cluster.handler(request)
        if type(answer) is Response:
            if answer.stream is not None or answer.upgrade is not None:
                self._hold(request, answer)
            return answer
        assert not isinstance(answer, Response)
        return self._answered(request, answer)

    async def _answer_later(self, request: Request) -> Response:
        self.busy += 1
        try:
            cluster = await self.wake()
            answer = cluster.handler(request)
            response = answer if isinstance(answer, Response) else await answer
        except StoreError:
            raise errors.unavailable(
                "the cluster cannot be opened; its VirtualCluster's conditions on the host say why"
            ) from None
        finally:
            self.busy -= 1
            self.used = self._keeper.clock.monotonic()
        self._hold(request, response)
        return response

    async def _answered(self, request: Request, answer: Awaitable[Response]) -> Response:
        self.busy += 1
        try:
            response = await answer
        finally:
            self.busy -= 1
        self._hold(request, response)
        return response

    def _hold(self, request: Request, response: Response) -> None:
        """Know of a stream as long as it is open."""
        if response.upgrade is not None:
            response.upgrade = partial(self._upgraded, response.upgrade)
        elif isinstance(response.stream, WatchStream):
            response.stream = watch = LastingWatch(request, response.stream, self._watched)
            self.watches.add(watch)
        elif response.stream is not None:
            response.stream = self._streamed(response.stream)

    def _watched(self, watch: LastingWatch) -> None:
        self.watches.discard(watch)

    def _released(self) -> None:
        self.busy -= 1
        self.used = self._keeper.clock.monotonic()

    async def _streamed(self, stream: Any) -> Any:
        self.busy += 1
        try:
            async for chunk in stream:
                yield chunk
        finally:
            self._released()
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    async def _upgraded(self, upgrade: Callable[[Duplex], Awaitable[None]], duplex: Duplex) -> None:
        self.busy += 1
        try:
            await upgrade(duplex)
        finally:
            self._released()

    # -- waking and parking -----------------------------------------------------------------------------------------

    async def wake(self) -> Assembled:
        """The cluster, opened if need be. Raises what opening raised."""
        while self.cluster is None:
            await asyncio.shield(self._begin(self._wake, "wake"))
            if self.cluster is None and self._error is not None:
                raise self._error
        return self.cluster

    def wake_soon(self) -> None:
        """Something happened that the cluster must see to."""
        if self.cluster is None:
            self._wanted = True
            self._begin(self._wake, "wake")
        else:
            self.used = self._keeper.clock.monotonic()

    async def park(self) -> None:
        """Put the cluster away, whatever it is doing. Those who need it wait, and have it opened again."""
        if self.cluster is not None:
            await asyncio.shield(self._begin(self._park, "park"))

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._change is not None:
            await asyncio.wait([self._change])

    def is_idle(self, now: float, after: float) -> bool:
        """Whether nothing has kept the cluster awake for `after` seconds."""
        cluster = self.cluster
        if cluster is None or self._change is not None or self.busy:
            return False
        if not all(watch.is_quiet(cluster.store.revision) for watch in self.watches):
            return False
        if cluster.store.revision != self._seen or not all(one.idle for one in cluster.attachments):
            self._seen, self._since = cluster.store.revision, now
            return False
        due = cluster.next_due
        if due is not None and due - now < after:
            return False
        return now - max(self.used, self._since) >= after

    def _begin(self, change: Callable[[], Coroutine[Any, Any, None]], name: str) -> asyncio.Task[None]:
        """The change that is under way; if there is none, this one.

        A change that is over may not have told yet (`_ended` runs in a later turn of the loop). It is not waited for:
        awaiting it would not give the loop that turn, and whoever asks again and again would hold it for ever.
        """
        if self._change is None or self._change.done():
            self._change = self._keeper.spawn(change(), f"{name} {self.wish.display}")
            self._change.add_done_callback(self._ended)
        return self._change

    def _ended(self, change: asyncio.Task[None]) -> None:
        if self._change is not change:
            return  # the next one has begun already
        self._change = None
        if self._wanted and self.cluster is None:
            self._begin(self._wake, "wake")

    async def _wake(self) -> None:
        self._wanted, self._error = False, None
        if self.cluster is not None:
            return
        self._end_waiting()
        try:
            cluster = await self._keeper.bring(self.wish)
        except Exception as error:
            self._error = error
            self._end_watches()
            self._keeper.failed(self.wish, error)
            return
        self.used = self._since = self._keeper.clock.monotonic()
        self.cluster = cluster
        for watch in tuple(self.watches):
            watch.go_on(partial(_ask_again, cluster))

    def _end_watches(self) -> None:
        for watch in tuple(self.watches):
            watch.end()

    async def _park(self) -> None:
        cluster, self.cluster = self.cluster, None
        if cluster is None:
            return
        clock, timer = self._keeper.clock, cluster.next_due
        due = None if timer is None else clock.now() + timer - clock.monotonic()
        self.wait(due)
        for watch in tuple(self.watches):
            watch.lay_aside()
        self.site.forget()
        await self._keeper.put_away(self.wish, cluster, due)

    def wait(self, due: float | None) -> None:
        """Be parked: from now on whatever the cluster must see to wakes it."""
        self.ends.extend(self._keeper.watch_over(self, due))

    @property
    def broken(self) -> bool:
        """Whether the cluster could not be opened, last time."""
        return self._error is not None

    def _end_waiting(self) -> None:
        for end in self.ends:
            end()
        self.ends.clear()

    async def close(self) -> None:
        """Take the cluster out of memory for good (it is deleted, moved, or the process ends)."""
        self._end_waiting()
        self._wanted = False
        await self.settled()
        self._end_waiting()
        self._end_watches()
        cluster, self.cluster = self.cluster, None
        if cluster is not None:
            await cluster.close()


def _ask_again(cluster: Assembled, request: Request) -> Response:
    """A watch that was laid aside goes on. Reading is synchronous, so there is nothing to wait for."""
    answer = pipeline.answer_again(cluster.served, request)
    assert isinstance(answer, Response)
    return answer
