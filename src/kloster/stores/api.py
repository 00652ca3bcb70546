"""The contract of every store.

The model first. A store holds one cluster. It is a map *key → entry*; each write gets the next *revision*
(the API's resourceVersion). There is **one writer**: `transact` runs a decision function, synchronously,
against the newest state there is, that is published state, the batch that is being committed and the batch
that is being gathered, one on top of the other. What the decision returns is gathered into a batch; a batch is
committed durably as a whole (group commit), then published in order, then acknowledged. Readers see only what is
published, hence only what is durable.

An answer that was derived from state which is not durable yet (an error raised by the decision, or no
operations) waits for that state's batch too, and fails with it.

The state itself is an *overlay* on immutable layers: see `kloster.stores.layers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Key(NamedTuple):
    """Where an object is kept. Keys sort by resource, then namespace, then name, as upstream's do.

    `resource` is ``group/plural`` (``/pods`` for the core group): one place whatever the served version.
    `namespace` is empty for cluster-scoped objects.
    """

    resource: str
    namespace: str
    name: str


class Entry:
    """One version of one object: immutable bytes around the place of its resourceVersion.

    The object is ``head + revision + tail``. Neither part holds apiVersion or kind: the API server puts them in
    front, depending on the version that was asked for.
    `labels` and `fields` serve selectors without decoding. `memo` may be used by the reader for forms that it
    derived (never persisted, may be dropped at any time). Entries compare by identity.
    """

    __slots__ = ("fields", "head", "key", "labels", "memo", "revision", "tail", "version")

    def __init__(
        self,
        key: Key,
        revision: int,
        head: bytes,
        tail: bytes,
        labels: dict[str, str],
        fields: dict[str, str],
        version: str,
    ) -> None:
        self.key = key
        self.revision = revision
        self.head = head
        self.tail = tail
        self.labels = labels
        self.fields = fields
        self.version = version  # stamp: storage version and schema generation, for example "v1" or "v1beta1#7"
        self.memo: Any = None

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, revision={self.revision})"


@dataclass(frozen=True, slots=True)
class Put:
    """Create or replace the object at `key`. Fields as in `Entry`; the writer assigns the revision."""

    key: Key
    head: bytes
    tail: bytes
    labels: dict[str, str]
    fields: dict[str, str]
    version: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the object at `key`. Removing what does not exist is no change and gets no revision."""

    key: Key


Operation = Put | Remove


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `old` is None for a creation, `new` is None for a deletion. `revision` is the change's own."""

    revision: int
    key: Key
    old: Entry | None
    new: Entry | None


class View(Protocol):
    """A consistent reading of a state."""

    def get(self, key: Key) -> Entry | None: ...

    def scan(self, resource: str, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[Entry]:
        """Entries of `resource` in key order; only of `namespace` if given; only (namespace, name) > `after`."""
        ...


Decision = Callable[[View], Sequence[Operation]]


class Subscription(Protocol):
    """A reader of the log, at its own pace.

    `wake` (given to `Store.subscribe`) is called, in the event loop, after something was published. The reader
    then calls `drain`. A reader that falls behind the log gets `Compacted` from `drain`.
    """

    def drain(self, limit: int = 1000) -> Sequence[Event]:
        """The next events in order, at most `limit`; empty when there is nothing new. Raises Compacted."""
        ...

    @property
    def progress(self) -> int:
        """The revision up to which this reader has seen everything (what a bookmark may promise)."""
        ...

    def close(self) -> None: ...


class Store(View, Protocol):
    """One cluster's store. Reading is synchronous and never blocks; writing is a coroutine."""

    @property
    def revision(self) -> int:
        """The newest published revision."""
        ...

    @property
    def compacted(self) -> int:
        """Revisions below or equal to this can no longer be read from the log."""
        ...

    async def transact(self, decide: Decision) -> Sequence[Event]:
        """Run `decide` against the newest state, commit what it returns atomically, return the changes.

        `decide` must be synchronous and free of side effects, and may raise: its exception is passed on once
        the state it saw is durable. Raises StoreFailed if the commit failed: then nothing was written.
        """
        ...

    def subscribe(self, resource: str, after: int, wake: Callable[[], None]) -> Subscription:
        """Read changes of `resource` ("" for all) with a revision above `after`. Raises Compacted."""
        ...

    def at(self, revision: int) -> View:
        """The published state as it was at `revision`, rebuilt from the log. Raises Compacted, Future."""
        ...

    def compact(self, revision: int) -> None:
        """Forget the log up to and including `revision`."""
        ...

    async def close(self) -> None:
        """Finish what is in flight, then release everything. Idempotent."""
        ...


class StoreError(Exception):
    """Base of everything that a store raises."""


class Compacted(StoreError):
    """The revision asked for is no longer in the log; `oldest` is the first that may be asked for."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"revision {asked} has been compacted; the oldest that can be read is {oldest}")
        self.asked = asked
        self.oldest = oldest


class FutureRevision(StoreError):
    """The revision asked for has not been issued yet."""

    def __init__(self, asked: int, current: int) -> None:
        super().__init__(f"revision {asked} is newer than the current {current}")
        self.asked = asked
        self.current = current


class StoreFailed(StoreError):
    """A commit failed (full disk, I/O error). Nothing of it was written or shown to anybody. Retryable."""


class StoreClosed(StoreError):
    """The store has been closed (its cluster was parked or deleted): open it again and retry."""

    def __init__(self) -> None:
        super().__init__("the store is closed")


class StoreBroken(StoreError):
    """The file cannot be used: corrupt, locked by another process, or written by a newer Kloster. Terminal."""
