"""The log: what changed, in order, for those who watch, resume, page and look back.

The model. Every published change is an `Event` with its revision. The log keeps the newest of them, bounded in
number and in the bytes that it alone keeps alive (an event's *old* entry; the new one is state). Everything up to
`compacted` has been forgotten.

A *channel* is the log of one resource, so that a reader of pods never steps over Secrets and a write to Secrets
never wakes a reader of pods: idle watchers cost nothing. The channel "" holds everything. A reader keeps a
position in its channel and pulls at its own pace; the log pushes nothing but a wake-up. Hence a slow reader
costs no memory: what is trimmed is trimmed, and that reader gets `Compacted` (upstream's 410 Gone, after which
clients list again).

The past is today's state with the newer events undone (`Past`). It serves `continue` tokens and
``resourceVersionMatch=Exact``.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from kloster.stores.api import Compacted, Entry, Event, FutureRevision, Key, StoreClosed
from kloster.stores.layers import Stack, Table, look_up, scan

_EVENT_COST = 200  # bytes of an Event, its slots in two channels and its share of Entry, roughly


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much of the past a store remembers. Upstream's etcd keeps five minutes; its watch cache keeps
    100 to 102,400 events per resource."""

    events: int = 20_000
    bytes: int = 8 << 20


class _Channel:
    """The events of one resource that are still in the log. Event number n of all time is at ``n - dropped``."""

    __slots__ = ("dropped", "events", "subscriptions")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.dropped = 0
        self.subscriptions: dict[LogSubscription, None] = {}

    @property
    def end(self) -> int:
        return self.dropped + len(self.events)

    def position_after(self, revision: int) -> int:
        return self.dropped + bisect_right(self.events, revision, key=lambda event: event.revision)


class Log:
    """One store's log. Everything here runs in the event loop and nothing waits."""

    def __init__(self, revision: int, limits: LogLimits | None = None) -> None:
        self.revision = revision
        self.compacted = revision
        self.bytes = 0
        self.closed = False
        self._limits = limits or LogLimits()
        self._all = _Channel()
        self._channels: dict[str, _Channel] = {}

    def __len__(self) -> int:
        return len(self._all.events)

    def publish(self, events: Sequence[Event]) -> None:
        """Append `events`, whose state is already visible, and wake those who read their resources."""
        touched: dict[_Channel, None] = {}
        for event in events:
            channel = self._channel(event.key.resource)
            channel.events.append(event)
            touched[channel] = None
            self._all.events.append(event)
            self.bytes += _cost(event)
            self.revision = event.revision
        touched[self._all] = None
        while self._all.events and (self.bytes > self._limits.bytes or len(self._all.events) > self._limits.events):
            self._drop_oldest()
        for channel in touched:
            for subscription in tuple(channel.subscriptions):
                subscription.notify()

    def subscribe(self, resource: str, after: int, wake: Callable[[], None]) -> LogSubscription:
        if self.closed:
            raise StoreClosed
        if after < self.compacted:
            raise Compacted(after, self.compacted)
        channel = self._channel(resource) if resource else self._all
        subscription = LogSubscription(self, channel, after, wake)
        channel.subscriptions[subscription] = None
        return subscription

    def past(self, revision: int, present: Stack) -> Past:
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)
        return Past(self, revision, present)

    def newer_than(self, revision: int, resource: str) -> Iterator[Event]:
        """Events of `resource` after `revision` that are still in the log, oldest first."""
        channel = self._channels.get(resource)
        if channel is None or not channel.events or channel.events[-1].revision <= revision:
            return iter(())
        return islice(channel.events, channel.position_after(revision) - channel.dropped, None)

    def compact(self, revision: int) -> None:
        """Forget everything up to and including `revision`."""
        revision = min(revision, self.revision)
        while self._all.events and self._all.events[0].revision <= revision:
            self._drop_oldest()
        self.compacted = max(self.compacted, revision)
        for resource, channel in tuple(self._channels.items()):
            if not channel.events and not channel.subscriptions:
                del self._channels[resource]

    def close(self) -> None:
        """Wake all readers a last time: they get what is left, then `StoreClosed`."""
        self.closed = True
        for channel in (self._all, *self._channels.values()):
            for subscription in tuple(channel.subscriptions):
                subscription.notify()

    def _drop_oldest(self) -> None:
        event = self._all.events.popleft()
        self._all.dropped += 1
        channel = self._channels[event.key.resource]
        channel.events.popleft()
        channel.dropped += 1
        self.bytes -= _cost(event)
        self.compacted = event.revision

    def _channel(self, resource: str) -> _Channel:
        channel = self._channels.get(resource)
        if channel is None:
            channel = self._channels[resource] = _Channel()
        return channel


def _cost(event: Event) -> int:
    old = event.old
    return _EVENT_COST if old is None else _EVENT_COST + len(old.head) + len(old.tail)


class LogSubscription:
    """See `kloster.stores.api.Subscription`.

    `wake` is called at most once between two calls of `drain`, so that a burst of writes costs a slow reader
    one wake-up. It is not called for what was in the log when the reader subscribed: drain first, then wait.
    """

    __slots__ = ("_after", "_armed", "_channel", "_log", "_position", "_wake")

    def __init__(self, log: Log, channel: _Channel, after: int, wake: Callable[[], None]) -> None:
        self._log = log
        self._channel = channel
        self._after = after
        self._wake = wake
        self._armed = True
        self._position = channel.position_after(after)

    def drain(self, limit: int = 1000) -> Sequence[Event]:
        channel = self._channel
        self._armed = True
        if self._position < channel.dropped:
            raise Compacted(self._after, self._log.compacted)
        start = self._position - channel.dropped
        stop = min(start + limit, len(channel.events))
        found = [channel.events[index] for index in range(start, stop)]
        self._position += len(found)
        if not found:
            if self._log.closed:
                raise StoreClosed
        elif found[0].revision <= self._after:  # subscribed to the future, which has now become present
            found = [event for event in found if event.revision > self._after]
        self._after = self.progress
        return found

    @property
    def progress(self) -> int:
        channel = self._channel
        if self._position < channel.dropped:
            return self._after
        if self._position < channel.end:
            return max(self._after, channel.events[self._position - channel.dropped].revision - 1)
        return max(self._after, self._log.revision)

    def close(self) -> None:
        self._channel.subscriptions.pop(self, None)

    def notify(self) -> None:
        """Wake the reader, unless it was woken and has not come yet. Its errors are its own."""
        if not self._armed:
            return
        self._armed = False
        try:
            self._wake()
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a store subscriber's wake raised", "exception": error}
            )


class Past:
    """The `View` of a store at an earlier revision: the present with newer events undone.

    It stays right while the present moves on, because each reading first undoes what has been published since
    the last one. Once the log no longer reaches back to `revision`, reading raises `Compacted`.
    """

    __slots__ = ("_log", "_present", "_revision", "_undone")

    def __init__(self, log: Log, revision: int, present: Stack) -> None:
        self._log = log
        self._revision = revision
        self._present = present
        self._undone: dict[str, tuple[int, Table]] = {}

    def get(self, key: Key) -> Entry | None:
        return look_up((self._undo(key.resource), *self._present.maps), key)

    def scan(self, resource: str, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[Entry]:
        return scan((self._undo(resource), *self._present.maps), resource, namespace, after)

    def _undo(self, resource: str) -> dict[str, Table]:
        """What `resource` held where that differs from the present."""
        if self._revision < self._log.compacted:
            raise Compacted(self._revision, self._log.compacted)
        undone_to, table = self._undone.get(resource) or (self._revision, Table())
        for event in self._log.newer_than(undone_to, resource):
            if event.key not in table.entries:  # the oldest change after our revision knows what was there
                table.put(event.key, event.old)
        self._undone[resource] = (self._log.revision, table)
        return {resource: table}
