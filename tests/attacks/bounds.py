"""A limit on what an attack may take: without its defence it would run for hours, or take all memory."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOM = 1 << 30
"""Bytes beyond what the process has when an attack begins."""


class TooLong(AssertionError):
    """The attack keeps everybody else waiting."""


def _late(*_: Any) -> None:
    raise TooLong


def address_space() -> int:
    """Bytes of address space that the process uses."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@contextmanager
def bounded(seconds: float = 2.0) -> Iterator[None]:
    """Fails what takes more of the processor, or a gigabyte more memory. Generous: the machine may be busy."""
    before = signal.signal(signal.SIGPROF, _late)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + ROOM, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)
