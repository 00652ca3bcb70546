"""What every store has that keeps its cluster's state in this process: reading, the log and the writer.

Back ends differ in the `Committer` that makes batches durable, and in what opening and closing mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kloster.stores.api import Decision, Entry, Event, Key, Subscription, View
from kloster.stores.broadcast import Log, LogLimits
from kloster.stores.layers import Layer
from kloster.stores.state import Overlay
from kloster.stores.writer import Committer, Writer

Seam = Callable[[Committer], Committer]
"""Wraps a store's committer; tests delay and fail commits with it."""


class LocalStore:
    """The common part of `kloster.stores.api.Store`."""

    def __init__(
        self, overlay: Overlay, committer: Committer, *, limits: LogLimits | None = None, seam: Seam | None = None
    ) -> None:
        self._overlay = overlay
        self._log = Log(overlay.revision, limits)
        self._writer = Writer(overlay, self._log, committer if seam is None else seam(committer))

    @property
    def revision(self) -> int:
        return self._log.revision

    @property
    def compacted(self) -> int:
        return self._log.compacted

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What the overlay stands on, the topmost first."""
        return self._overlay.layers

    @property
    def log_bytes(self) -> int:
        """What the log alone keeps in memory; `compact(revision)` releases it."""
        return self._log.bytes

    def get(self, key: Key) -> Entry | None:
        return self._overlay.get(key)

    def scan(self, resource: str, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[Entry]:
        return self._overlay.scan(resource, namespace, after)

    def own(self) -> Iterator[tuple[Key, Entry | None]]:
        """What this cluster has changed over its layers; None for a tombstone."""
        return self._overlay.own()

    async def transact(self, decide: Decision) -> Sequence[Event]:
        return await self._writer.transact(decide)

    def subscribe(self, resource: str, after: int, wake: Callable[[], None]) -> Subscription:
        return self._log.subscribe(resource, after, wake)

    def at(self, revision: int) -> View:
        return self._log.past(revision, self._overlay)

    def compact(self, revision: int) -> None:
        self._log.compact(revision)
