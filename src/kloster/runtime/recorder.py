"""Kubernetes events, recorded as client-go's recorder does: best effort, counted, never a flood.

What is recorded passes three steps (k8s.io/client-go/tools/record, EventCorrelator):
- *aggregate*: the tenth different message of one reason about one object within ten minutes, and all later ones,
  become one "(combined from similar events)";
- *count*: the same event again raises `count` and `lastTimestamp` of the one that exists;
- *filter*: about one object a component may say 25 things at once, then one each five minutes.

Writing is asynchronous and bounded, as client-go's broadcaster is: events wait a moment, so that what they are about
goes first and several share a commit; a few are written at a time, so that nobody stands behind many of them. An event
that cannot be written, or that comes while a thousand wait, is dropped: nothing may depend on events.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from kloster.aio.clock import Clock, rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.client import Client
from kloster.client.errors import ClientError
from kloster.client.resources import EVENTS

log = structlog.get_logger(__name__)

_BURST = 25.0
_REFILL = 1 / 300
_SIMILAR = 10
_INTERVAL = 600.0
_REMEMBERED = 1024  # entries in each memory; the oldest is forgotten first
_PENDING = 1000
_AT_ONCE = 8  # writes that may share a commit
LINGER = 0.1
"""Seconds that suit a process which serves many."""
_COMBINED = "(combined from similar events): "

Spawn = Callable[[Coroutine[Any, Any, Any], str], None]


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass(slots=True)
class _Known:
    name: str
    first: str
    count: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


@dataclass(frozen=True, slots=True)
class _Write:
    event: Object
    patch: bool


class Correlator:
    """Decides what becomes of a new event. Pure but for its memory."""

    def __init__(self) -> None:
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._last_stamp = 0

    def stamp(self, now: float) -> int:
        """Nanoseconds for an event's name, never the same twice."""
        self._last_stamp = max(self._last_stamp + 1, int(now * 1e9))
        return self._last_stamp

    def correlate(self, event: Object, now: float) -> _Write | None:
        """The event to create or to patch; None if there are too many."""
        about = event["involvedObject"]
        source = (event["source"]["component"],)
        target = tuple(str(about.get(part, "")) for part in ("kind", "namespace", "name", "uid", "apiVersion"))
        group = (*source, *target, event["type"], event["reason"])
        key = (*group, event["message"])
        if self._aggregated(group, event["message"], now):
            event = {**event, "message": _COMBINED + event["message"], "reportingComponent": ""}
            key = group
        known = self._known.get(key)
        if not self._allowed(source + target, now):
            return None
        if known is None:
            _remember(self._known, key, _Known(event["metadata"]["name"], event["firstTimestamp"], 1))
            return _Write(event, False)
        known.count += 1
        self._known.move_to_end(key)
        metadata = {**event["metadata"], "name": known.name}
        again = {**event, "metadata": metadata, "firstTimestamp": known.first, "count": known.count}
        return _Write(again, True)

    def _aggregated(self, group: tuple[str, ...], message: str, now: float) -> bool:
        similar = self._similar.get(group)
        if similar is None or now - similar.last > _INTERVAL:
            similar = _Similar()
        similar.messages.add(message)
        similar.last = now
        _remember(self._similar, group, similar)
        if len(similar.messages) < _SIMILAR:
            return False
        similar.messages.pop()  # any: the number of different ones stays at the limit
        return True

    def _allowed(self, key: tuple[str, ...], now: float) -> bool:
        bucket = self._buckets.get(key) or _Bucket(_BURST, now)
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.filled) * _REFILL)
        bucket.filled = now
        _remember(self._buckets, key, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


class EventRecorder:
    """Records events of one cluster. `spawn` runs the writer while there is something to write.

    instance   ``reportingInstance``, mostly empty as upstream's controllers leave it
    linger     seconds for which events gather before they are written
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        spawn: Spawn,
        *,
        component: str = "",
        instance: str = "",
        linger: float = 0.0,
        shared: EventRecorder | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._spawn = spawn
        self._component = component
        self._instance = instance
        self._correlator: Correlator = shared._correlator if shared else Correlator()
        self._linger = linger
        self._pending: deque[_Write] = deque()
        self._main: EventRecorder = shared._main if shared else self
        self._writing = False
        self.dropped = 0
        """Events that came while too many waited."""

    def for_component(self, component: str) -> EventRecorder:
        return EventRecorder(
            self._client, self._clock, self._spawn, component=component, instance=self._instance, shared=self
        )

    def event(self, regarding: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record an event about `regarding` (an object with apiVersion, kind and metadata)."""
        now = self._clock.now()
        event = self._new(regarding, type, reason, message, now)
        if field_path:
            event["involvedObject"]["fieldPath"] = field_path
        write = self._correlator.correlate(event, now)
        if write is None:
            return
        main = self._main
        if len(main._pending) >= _PENDING:
            main.dropped += 1
            return
        main._pending.append(write)
        if not main._writing:
            main._writing = True
            self._spawn(main._flush(), "events")

    def _new(self, regarding: Object, type: str, reason: str, message: str, now: float) -> Object:
        reference = reference_to(regarding)
        at = rfc3339(now)
        name = f"{reference['name']}.{self._correlator.stamp(now):x}"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": reference.get("namespace") or "default"},
            "involvedObject": reference,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self._component},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }

    async def _flush(self) -> None:
        dropped = self.dropped
        try:
            while self._pending:
                if self._linger:
                    await self._clock.sleep(self._linger)
                while self._pending:
                    await asyncio.gather(*map(self._try, self._next()))
        finally:
            self._writing = False
        if self.dropped > dropped:
            log.warning("too many events waited", dropped=self.dropped - dropped)

    def _next(self) -> list[_Write]:
        """What may be written at once: never two writes of one event, whose order matters."""
        found: dict[str, _Write] = {}
        while self._pending and len(found) < _AT_ONCE:
            name = self._pending[0].event["metadata"]["name"]
            if name in found:
                break
            found[name] = self._pending.popleft()
        return list(found.values())

    async def _try(self, write: _Write) -> None:
        try:
            await self._write(write)
        except (StatusError, ClientError) as error:
            log.debug("an event was not recorded", reason=write.event["reason"], error=str(error))
        except Exception:
            log.exception("an event was not recorded", reason=write.event["reason"])

    async def _write(self, write: _Write) -> None:
        event = write.event
        metadata = event["metadata"]
        if write.patch:
            change = {name: event[name] for name in ("count", "lastTimestamp", "message")}
            try:
                await self._client.patch(EVENTS, metadata["namespace"], metadata["name"], change, type="strategic")
                return
            except StatusError as error:
                if error.code != 404:  # it has expired: write it anew
                    raise
        try:
            await self._client.create(EVENTS, event)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise


def reference_to(item: Object) -> Object:
    """An ObjectReference to a whole object."""
    metadata = item["metadata"]
    reference = {
        "kind": item["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": item["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    return {name: value for name, value in reference.items() if value}


def _remember(memory: OrderedDict[tuple[str, ...], Any], key: tuple[str, ...], value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
