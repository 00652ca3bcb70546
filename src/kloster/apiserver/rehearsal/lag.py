"""A watch cache that lags: what an API server shows whose cache follows its etcd some seconds late.

An API server answers reads with ``resourceVersion=0`` and watches from a cache, which follows the store by a watch of
its own. If that is slow, clients see a state that was true a while ago, and events late, while reads without a
resourceVersion ask the store itself. The `Timeline` remembers when which revision was published; a `Lag` shows, through
the contract of a store, the state that many seconds ago. Nothing in it goes back in time: a reader's log is still the
store's, only later, and the past is never older than the moment in which the lag began.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from kloster.stores.api import Compacted, Decision, Entry, Event, Key, Store, StoreClosed, Subscription, View

LONGEST = 300.0
"""Seconds that a cache may be behind."""
_GRAIN = 0.005
"""Publications that are less than so many seconds apart count as one."""


class Timeline:
    """When a store's revisions were published, as far back as a lag may reach. Close it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._loop = asyncio.get_running_loop()
        self._times: list[tuple[float, int]] = [(self._loop.time(), store.revision)]
        self._subscription: Subscription | None = store.subscribe("", store.revision, self._published)
        self.lifted = False
        self._lagging: dict[_LateSubscription, None] = {}

    def _published(self) -> None:
        now, revision = self._loop.time(), self.store.revision
        last = self._times[-1]
        if revision > last[1]:
            if now - last[0] < _GRAIN and len(self._times) > 1:
                self._times[-1] = (now, revision)
            else:
                self._times.append((now, revision))
        old = bisect_right(self._times, now - LONGEST, key=itemgetter(0)) - 1
        if old > 100:
            del self._times[:old]
        self._rearm()

    def _rearm(self) -> None:
        if self._subscription is None:
            return
        try:
            while self._subscription.drain():
                pass
        except Compacted:
            self._subscription.close()
            self._subscription = self.store.subscribe("", self.store.revision, self._published)
        except StoreClosed:
            self.close()

    def visible(self, seconds: float) -> int:
        """The revision that a cache that is so late has come to."""
        if self.lifted:
            return self.store.revision
        at = bisect_right(self._times, self._loop.time() - seconds, key=itemgetter(0)) - 1
        return max(self._times[max(at, 0)][1], self.store.compacted)

    def due(self, revision: int, seconds: float) -> float:
        """When (in the loop's time) that revision is visible to it."""
        at = bisect_right(self._times, revision - 1, key=itemgetter(1))
        return self._times[at][0] + seconds if at < len(self._times) else self._loop.time() + seconds

    def lift(self) -> None:
        """No lag any longer: everybody is shown what is there."""
        self.lifted = True
        self.close()
        for one in tuple(self._lagging):
            one.wake()

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def follow(self, one: _LateSubscription) -> None:
        self._lagging[one] = None

    def leave(self, one: _LateSubscription) -> None:
        self._lagging.pop(one, None)


class Lag:
    """The store as a cache shows it that is `seconds` late: a `Store` to read from.

    current   the state is the newest, and only what comes then is late: a watch that asked for the newest state
    """

    def __init__(self, timeline: Timeline, seconds: float, *, current: bool = False) -> None:
        self._timeline = timeline
        self._store = timeline.store
        self._seconds = seconds
        self._revision = self._store.revision if current else timeline.visible(seconds)
        self._view: View = self._store if self._revision == self._store.revision else self._store.at(self._revision)

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._store.compacted

    def get(self, key: Key) -> Entry | None:
        return self._view.get(key)

    def scan(self, resource: str, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[Entry]:
        return self._view.scan(resource, namespace, after)

    def at(self, revision: int) -> View:
        return self._store.at(revision)

    def subscribe(self, resource: str, after: int, wake: Callable[[], None]) -> Subscription:
        return _LateSubscription(self._timeline, self._seconds, resource, after, wake)

    async def transact(self, decide: Decision) -> Sequence[Event]:
        return await self._store.transact(decide)

    def compact(self, revision: int) -> None:
        self._store.compact(revision)

    async def close(self) -> None:
        """The store is its owner's to close."""


class _LateSubscription:
    """A reader of the log that is given each change so many seconds late."""

    def __init__(self, timeline: Timeline, seconds: float, resource: str, after: int, wake: Callable[[], None]) -> None:
        self._timeline = timeline
        self._seconds = seconds
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._held: deque[Event] = deque()
        self._handle: asyncio.TimerHandle | None = None
        self._inner = timeline.store.subscribe(resource, after, self._came)
        timeline.follow(self)

    def _came(self) -> None:
        """There is something new, which is not to be shown yet. What is held back has a timer of its own."""
        if not self._held:
            self._wake()  # `drain` takes it, holds it back and says when

    def wake(self) -> None:
        self._handle = None
        self._wake()

    def drain(self, limit: int = 1000) -> Sequence[Event]:
        visible = self._timeline.visible(self._seconds)
        if len(self._held) < limit:
            try:
                self._held.extend(self._inner.drain(limit - len(self._held)))
            except StoreClosed:
                if not self._held:
                    raise
        found = []
        while self._held and self._held[0].revision <= visible:
            found.append(self._held.popleft())
        if self._held and not found:
            self._plan(self._timeline.due(self._held[0].revision, self._seconds))
        return found

    def _plan(self, due: float) -> None:
        if self._handle is None or self._handle.when() > due:
            self._cancel()
            self._handle = self._loop.call_at(due + 0.001, self.wake)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    @property
    def progress(self) -> int:
        shown = min(self._inner.progress, self._timeline.visible(self._seconds))
        return min(shown, self._held[0].revision - 1) if self._held else shown

    def close(self) -> None:
        self._timeline.leave(self)
        self._cancel()
        self._inner.close()
