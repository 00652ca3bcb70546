"""Memory of the process as a whole."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kloster.fleet.assembly import Assembled
    from kloster.fleet.shared import Shared

AGE = 2.0
"""Seconds; forms that nobody has asked for live one to two of these."""
WORTH_IT = 4 << 20
"""Bytes that are worth a run of the collector."""
BUSY = 0.25
"""Share of a processor that this process uses when it has better things to do than to tidy up."""

THRESHOLDS = (20_000, 20, 20)
"""New containers before a young collection (about a millisecond), young ones before a middle one, and so on."""


ENTRY = 500
"""Bytes of an object in memory besides its text, roughly: its entry, its key, its place in two dictionaries."""


def held(clusters: Iterable[Assembled]) -> dict[str, int]:
    """Cluster → bytes that its own objects and its log hold, roughly. What it shares with others does not count."""
    return {
        one.record.display: one.store.log_bytes
        + sum(ENTRY + len(entry.head) + len(entry.tail) for _, entry in one.store.own() if entry is not None)
        for one in clusters
    }


def resident() -> int:
    """Bytes of the process that are in memory; where the system does not tell, the most that ever were."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def give_back() -> None:
    """Release what closed clusters have left: cycles to Python's allocator, free pages to the system."""
    gc.collect()
    if _trim is not None:
        _trim(0)


async def rest(shared: Shared, used: Callable[[], float] = time.process_time) -> None:
    """Let forms that nobody asks for go, and give their memory back. Runs until it is cancelled.

    While the process is busy (`used` tells its processor seconds) what forms held is kept for the next ones: everybody
    would wait a tenth of a second for memory that is needed again at once. They are dropped all the same, because a
    process that grows amid its work has objects of long life all over its memory, and can give little of it back.
    """
    clock = shared.clock
    before, since, dropped = used(), clock.monotonic(), 0
    while True:
        await clock.sleep(AGE)
        now, at = used(), clock.monotonic()
        busy = now - before > BUSY * (at - since)
        before, since = now, at
        dropped += shared.forms.age()
        if not busy and dropped > WORTH_IT:
            dropped = 0
            give_back()


def settle() -> None:
    """What is there after the start stays: the collector need not look at it again.

    A write makes thousands of short-lived containers without a cycle among them; Python's default of looking after
    every 700 spent a tenth of a create's time, and a fifth of a pod's way, on finding nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def _find_trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim; other C libraries give memory back by themselves or not at all."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


_trim = _find_trim()
