"""Events end: one that nobody has written for an hour (``--event-ttl``) is removed, and watches see it DELETED.

Upstream gives every write of an event a lease in etcd. Here nothing is kept for an event: they all live equally long,
so they expire in the order in which they were written, which is the order of their revisions. Whoever looks around
from time to time begins with the oldest one and stops at the first that is still young. A cluster that is not in memory
does nothing; what has expired meanwhile is removed when it is opened, before anybody is answered.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

from kloster.apiserver.cluster import ServedCluster
from kloster.kinds.core.events import last_written
from kloster.stores.api import Entry, Operation, Remove, View

EVENTS = "/events"
_BATCH = 500


async def expire_events(cluster: ServedCluster) -> int:
    """Remove the events whose time has come. Returns how many there were. Raises StoreError."""
    expired = list(_expired(cluster, await _all(cluster)))
    batches = [expired[start : start + _BATCH] for start in range(0, len(expired), _BATCH)]
    return sum([await _remove(cluster, batch) for batch in batches])


async def _all(cluster: ServedCluster) -> list[Entry]:
    """Every event. There may be very many: others have their turn in between."""
    found: list[Entry] = []
    after: tuple[str, str] | None = None
    while True:
        part = list(islice(cluster.store.scan(EVENTS, after=after), _BATCH))
        found += part
        if len(part) < _BATCH:
            return found
        after = (part[-1].key.namespace, part[-1].key.name)
        await asyncio.sleep(0)


def _expired(cluster: ServedCluster, events: Sequence[Entry]) -> Iterator[Entry]:
    oldest = cluster.clock.now() - cluster.settings.event_ttl
    for entry in sorted(events, key=lambda one: one.revision):
        event = cluster.view.object(entry)
        if event is None or last_written(event) > oldest:
            return
        yield entry


async def _remove(cluster: ServedCluster, expired: Sequence[Entry]) -> int:
    def unchanged(view: View) -> Sequence[Operation]:
        """Those that nobody has written since."""
        found = ((view.get(entry.key), entry) for entry in expired)
        return [Remove(old.key) for new, old in found if new is not None and new.revision == old.revision]

    return len(await cluster.store.transact(unchanged))
