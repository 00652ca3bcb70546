"""What a test may ask of a cluster beside Kubernetes: which requests came, that some of them fail, that time passes.

Pure state and decisions; the pipeline's part is `apiserver.rehearsing`. A cluster has a `Rehearsal` only if its
VirtualCluster asks for it (``spec.testing.enabled``): otherwise nothing is recorded, fails, or is late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kloster.aio.clock import ShiftedClock
from kloster.apiserver.rehearsal.faults import Faults
from kloster.apiserver.rehearsal.lag import Timeline
from kloster.apiserver.rehearsal.recording import Recording
from kloster.apiserver.rehearsal.standins import StandIns
from kloster.stores.api import Store

SPECTATOR = "kloster-testing"
"""The user agent of who rehearses: its requests are not recorded and never fail."""


@dataclass(slots=True)
class Rehearsal:
    """One cluster's, for as long as it is served.

    clock      the cluster's time
    advanced   called after the clock was moved on: what waits for a time must look again
    """

    clock: ShiftedClock
    advanced: Callable[[], Awaitable[None]]
    recording: Recording = field(default_factory=Recording)
    faults: Faults = field(default_factory=Faults)
    stand_ins: StandIns = field(default_factory=StandIns)
    advancing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _timeline: Timeline | None = None

    def timeline(self, store: Store) -> Timeline | None:
        """By which caches lag, if they do; from the first call on. `store` is the cluster's at the moment."""
        found = self._timeline
        if not self.faults.stale:
            if found is not None:
                found.lift()
                self._timeline = None
            return None
        if found is None or found.store is not store:
            if found is not None:
                found.close()
            found = self._timeline = Timeline(store)
        return found
