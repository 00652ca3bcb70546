"""Processor time and placement of running processes, from /proc."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that the processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def pin(pids: Iterable[int], cpus: frozenset[int]) -> None:
    """Keep the processes, with all threads that they have and will have, on `cpus`."""
    available = os.sched_getaffinity(0) | cpus
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cpus & available)


def pss(pid: int) -> float:
    """MiB of memory that the process holds; what it shares with others counts in proportion."""
    return _memory(pid, "Pss:")


def uss(pid: int) -> float:
    """MiB of memory that the process alone holds."""
    return _memory(pid, "Private_Clean:", "Private_Dirty:")


def _memory(pid: int, *names: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = [int(line.split()[1]) for line in lines if line.startswith(names)]
    if len(found) != len(names):
        raise LookupError(f"no {', '.join(names)} of process {pid}")
    return sum(found) / 1024


def children(pid: int) -> tuple[int, ...]:
    """The processes that `pid` started and that still run."""
    return tuple(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def descendants(pid: int) -> tuple[int, ...]:
    """`pid` and all processes below it that still run."""
    try:
        below = children(pid)
    except FileNotFoundError:
        return ()
    return (pid, *(found for child in below for found in descendants(child)))


def end(pid: int, seconds: float = 30.0) -> None:
    """End a process that this one started, and wait for it."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    ends = time.monotonic() + seconds
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > ends:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def machine() -> str:
    """One line about where a figure was taken."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return (
        f"{len(os.sched_getaffinity(0))} × {model}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
