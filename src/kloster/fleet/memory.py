"""Memory of the process as a whole."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable


def give_back() -> None:
    """Release what closed clusters have left: cycles to Python's allocator, free pages to the system."""
    gc.collect()
    if _trim is not None:
        _trim(0)


def settle() -> None:
    """What is there after the start stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def _find_trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim; other C libraries give memory back by themselves or not at all."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


_trim = _find_trim()
