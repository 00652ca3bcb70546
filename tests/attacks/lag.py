"""How long the event loop is held: what all other tenants wait, whatever they ask."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kloster.fleet import memory
from kloster.stores import threads

_TICK = 0.002


class Lag:
    """`worst` seconds of processor time, of the whole process, between two turns of the loop."""

    worst = 0.0

    async def tick(self) -> None:
        before = time.process_time()
        while True:
            await asyncio.sleep(_TICK)
            now = time.process_time()
            self.worst = max(self.worst, now - before - _TICK)
            before = now


@asynccontextmanager
async def measured() -> AsyncIterator[Lag]:
    """Looks at the loop while the block runs, with the collector and the interpreter's lock set as in a fleet."""
    lag = Lag()
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*memory.THRESHOLDS)
    sys.setswitchinterval(threads.SWITCH_INTERVAL)
    ticking = asyncio.create_task(lag.tick())
    await asyncio.sleep(5 * _TICK)
    try:
        yield lag
        await asyncio.sleep(_TICK)
    finally:
        ticking.cancel()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
