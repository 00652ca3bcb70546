"""The threads in which stores block.

A worker process has one small executor for all its stores: a commit spends its time in fsync, so a few threads
serve hundreds of clusters.

**The switch interval matters more than the number of threads.** A thread that comes back from SQLite needs the GIL.
CPython lets it ask for the GIL only after it has waited for a whole interval without anybody else letting go of it,
and an event loop lets go for a moment at every poll. With the default of 5 ms a loop under load can starve commits:
a single write took between 2 ms and 1.2 s, depending on the run; with 0.1 ms, 2 to 5 ms.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

SWITCH_INTERVAL = 0.0001
"""Seconds."""


def commit_threads(count: int = 4) -> ThreadPoolExecutor:
    """An executor for stores; lowers the process's GIL switch interval as a busy event loop needs it."""
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
    return ThreadPoolExecutor(count, thread_name_prefix="store")
