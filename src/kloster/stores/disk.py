"""Telling a disk without space from whatever else may happen to a file: that is for the user to put right."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
SQLITE_FULL = 13
"""sqlite3.SQLITE_FULL, without loading sqlite3 for every command."""


def disk_full(error: BaseException | None) -> bool:
    """Whether an error comes from a disk without space, or from a quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if getattr(error, "sqlite_errorcode", None) == SQLITE_FULL:
            return True
        error = error.__cause__
    return False
