"""What a user sees when something goes wrong: what was expected, what was found, what to do. No trace of ours.

CliError            the text is for the user as it is
everything else     an unforeseen failure: shown with its type; KLOSTER_DEBUG=1 shows the whole trace
"""

from __future__ import annotations

import errno
import os
import sys
import traceback

FORESEEN = (
    "CliError",
    "StatusError",
    "SpecError",
    "DataDirError",
    "HomeError",
    "AddressInUse",
    "StoreBroken",
    "ClientError",
)
DISK = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the quota of the disk is used up; free some space",
    errno.EROFS: "the disk can only be read; choose another place",
}
"""What may happen to any file that is written."""


class CliError(Exception):
    """Something that the user can do something about."""


def report(error: Exception) -> int:
    """Print an error; returns the exit code."""
    if os.environ.get("KLOSTER_DEBUG"):
        traceback.print_exception(error)
        return 1
    known = any(kind.__name__ in FORESEEN for kind in type(error).__mro__)
    if isinstance(error, OSError) and error.errno in DISK:
        text = f"{error.filename or 'a file'} cannot be written: {DISK[error.errno]}"
    else:
        text = str(error) if known else f"unexpected {type(error).__name__}: {error} (KLOSTER_DEBUG=1 shows more)"
    print(f"error: {text}", file=sys.stderr)
    return 1
