"""Forms derived from an entry, kept while there is room: decoded objects, other versions, metadata, table rows.

Everything hangs on `Entry.memo`, so a form is found without a lookup, is shared by all clusters that share the
entry (template layers), and dies with the entry. `FormCache` only bounds the total: it remembers in which order memos
were made and drops the oldest when a budget of bytes is exceeded. One cache serves all clusters of a process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from kloster.aio.clock import parse_rfc3339
from kloster.apimachinery import Object
from kloster.apiserver import storage
from kloster.apiserver.negotiation import Codec
from kloster.apiserver.resources import Served
from kloster.apiserver.storage import Parts
from kloster.kinds.cells import duration
from kloster.stores.api import Entry

# A decoded object takes about five times its JSON.
_DECODED = 5
_BASE = 400

_EXPECTED = 256
_LARGEST = 16 << 10


class Memo:
    """What has been derived from one entry, with the schema of `stamp`.

    cost    what the cache accounts for it
    used    when it was asked for last, counted in calls of `FormCache.age`
    """

    __slots__ = ("cost", "encoded", "metadata", "object", "parts", "rows", "stamp", "used")

    def __init__(self, cost: int, stamp: str) -> None:
        self.cost = cost
        self.used = 0
        self.stamp = stamp
        self.object: Object | None = None
        self.parts: dict[str, Parts] | None = None
        self.metadata: bytes | None = None
        self.encoded: dict[tuple[str, str], bytes] | None = None
        self.rows: tuple[Served, int, bytes] | None = None


class FormCache:
    """Bounds what all memos together hold. `limit` in bytes, roughly."""

    __slots__ = ("_cost", "_expected", "_now", "_order", "limit")

    def __init__(self, limit: int = 64 << 20) -> None:
        self.limit = limit
        self._cost = 0
        self._now = 0
        self._order: deque[tuple[Entry, Memo]] = deque()
        self._expected: dict[int, tuple[bytes, Object]] = {}

    def expect(self, tail: bytes, item: Object) -> None:
        """An entry with this very `tail` is about to come, and `item` is what decoding it would give but for its
        resourceVersion (`storage.put`): whoever follows changes asks for it in a moment.

        A few hundred are remembered, the oldest forgotten; what is not remembered is decoded.
        """
        if len(tail) > _LARGEST:
            return
        if len(self._expected) >= _EXPECTED:
            del self._expected[next(iter(self._expected))]
        self._expected[id(tail)] = (tail, item)

    def _arrived(self, served: Served, entry: Entry) -> Object | None:
        """The object of an entry that was expected."""
        found = self._expected.pop(id(entry.tail), None)
        if found is None or found[0] is not entry.tail or entry.version != served.stamp:
            return None
        item = found[1]
        item["metadata"]["resourceVersion"] = str(entry.revision)
        kind = served.storage
        return {"kind": kind.kind, "apiVersion": kind.api_version, **item}

    def _memo(self, served: Served, entry: Entry) -> Memo:
        memo = entry.memo
        if isinstance(memo, Memo) and memo.stamp == served.stamp:
            memo.used = self._now
            return memo
        # New, or derived before its definition changed, or by another cluster that shares the entry and defines it
        # in another way.
        memo = entry.memo = Memo(_BASE + _DECODED * (len(entry.head) + len(entry.tail)), served.stamp)
        memo.used = self._now
        self._order.append((entry, memo))
        self._cost += memo.cost
        while self._cost > self.limit and len(self._order) > 1:
            oldest, dropped = self._order.popleft()
            self._cost -= dropped.cost
            if oldest.memo is dropped:
                oldest.memo = None
        return memo

    def forget(self, entries: Iterable[Entry]) -> None:
        """Drop what was derived from these entries, whose cluster leaves memory. `tidy`, or the next `age`, lets go of
        the entries themselves: many clusters come and go, and each would look through everything that is kept."""
        for entry in entries:
            memo = entry.memo
            if isinstance(memo, Memo):
                entry.memo = None
                self._cost -= memo.cost
                memo.cost = 0

    def tidy(self) -> None:
        """Let go of entries from which nothing is kept any more."""
        self._order = deque((entry, memo) for entry, memo in self._order if entry.memo is memo)
        self._cost = sum(memo.cost for _, memo in self._order)

    def age(self) -> int:
        """Called every few seconds: drop what nobody has asked for since the call before last, and what is out of date.
        Returns how many bytes that were, roughly.

        So a burst of work does not leave the memory in pieces that nobody can give back.
        """
        self._now += 1
        self._expected.clear()
        before, kept = self._cost, deque[tuple[Entry, Memo]]()
        self._cost = 0
        for entry, memo in self._order:
            if entry.memo is not memo:
                continue
            if memo.used < self._now - 1:
                entry.memo = None
            else:
                kept.append((entry, memo))
                self._cost += memo.cost
        self._order = kept
        return before - self._cost

    def object(self, served: Served, entry: Entry) -> Object:
        """The object in its storage version, complete. Shared: never change it."""
        memo = self._memo(served, entry)
        found = memo.object
        if found is None:
            found = memo.object = self._arrived(served, entry) or storage.thaw(served, entry)
        return found

    def parts(self, served: Served, entry: Entry) -> Parts:
        """The encoded object in the version of `served`; for most reads just the stored bytes."""
        if served.direct and entry.version == served.stamp:
            return Parts(entry.head, entry.tail)
        memo = self._memo(served, entry)
        known = memo.parts
        if known is None:
            known = memo.parts = {}
        found = known.get(served.kind.api_version)
        if found is None:
            item = storage.from_storage(served, storage.thaw(served, entry))
            found = known[served.kind.api_version] = storage.split(served.kind, item)
        return found

    def document(self, served: Served, entry: Entry, revision: int = 0, end: bytes = b"") -> bytes:
        """The complete JSON document and `end`; `revision` for the last state of something deleted."""
        if served.direct and entry.version == served.stamp:
            rv = b"%d" % (revision or entry.revision)
            return b"".join((served.prefix, entry.head, rv, entry.tail, end))
        return storage.item_bytes(entry, served.prefix, self.parts(served, entry), revision) + end

    def list_item(self, served: Served, entry: Entry) -> bytes:
        """The object as it stands in a list."""
        return storage.item_bytes(entry, served.item_prefix, self.parts(served, entry))

    def list_items(self, served: Served, entries: Sequence[Entry]) -> bytes:
        """Objects as they stand in a list, with commas between them: stored bytes, joined."""
        stamp, prefix = served.stamp, served.item_prefix
        if not served.direct or [entry for entry in entries if entry.version != stamp]:
            return b",".join([self.list_item(served, entry) for entry in entries])
        return b",".join([b"%b%b%d%b" % (prefix, entry.head, entry.revision, entry.tail) for entry in entries])

    def encoded(self, served: Served, entry: Entry, codec: Codec) -> bytes:
        """The object in another serialization, without what stands around it (`Codec.part`)."""
        memo = self._memo(served, entry)
        known = memo.encoded
        if known is None:
            known = memo.encoded = {}
        key = (codec.media_type, served.kind.api_version)
        found = known.get(key)
        if found is None:
            found = known[key] = codec.part(orjson.loads(self.document(served, entry)), served.kind.type)
        return found

    def has_encoded(self, served: Served, entry: Entry, codec: Codec) -> bool:
        """Whether `encoded` has it at hand."""
        known = self._memo(served, entry).encoded
        return known is not None and (codec.media_type, served.kind.api_version) in known

    def keep_encoded(self, served: Served, entry: Entry, codec: Codec, part: bytes) -> None:
        """For whoever made it elsewhere."""
        memo = self._memo(served, entry)
        if memo.encoded is None:
            memo.encoded = {}
        memo.encoded[(codec.media_type, served.kind.api_version)] = part

    def metadata(self, served: Served, entry: Entry, revision: int = 0) -> bytes:
        """The metadata object alone, as JSON."""
        if revision and revision != entry.revision:
            item = storage.thaw(served, entry, revision)
            return storage.metadata_bytes(served, item["metadata"])
        memo = self._memo(served, entry)
        found = memo.metadata
        if found is None:
            found = memo.metadata = storage.metadata_bytes(served, self.object(served, entry)["metadata"])
        return found

    def cells(self, served: Served, entry: Entry, now: float) -> bytes:
        """The cells of its table row, as a JSON array. Ages have seconds, so a row holds for the second it was made."""
        memo = self._memo(served, entry)
        second = int(now)
        if memo.rows is not None and memo.rows[0] is served and memo.rows[1] == second:
            return memo.rows[2]
        row = orjson.dumps(cells(served, self.object(served, entry), now))
        memo.rows = (served, second, row)
        return row


def cells(served: Served, item: Object, now: float) -> list[Any]:
    """The table row of an object."""
    row = served.kind.strategy.cells
    if row is not None:
        return row(item, now)
    metadata = item["metadata"]
    found: list[Any] = []
    for name, *_ in served.kind.columns:
        if name == "Name":
            found.append(metadata["name"])
        elif name in ("Age", "Created At"):
            created = metadata.get("creationTimestamp") or ""
            found.append(duration(now - parse_rfc3339(created)) if created and name == "Age" else created)
        else:
            found.append("")
    return found
