"""One process at a time: an advisory lock on a file of its own beside the store file.

The store file itself is never locked with `flock` nor opened outside SQLite: POSIX drops SQLite's own locks when
any descriptor of that file is closed. The lock file stays behind when its holder ends; only the lock counts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path

from kloster.stores.api import StoreBroken, StoreFailed

_TRANSIENT = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM)


class FileLock:
    """Held from construction to `release`, or to the end of the process, however that comes."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: Path) -> None:
        """Lock ``PATH.lock``. Raises StoreBroken, naming the holder, if somebody else has it."""
        lock = path.with_name(path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            refused = StoreFailed if error.errno in _TRANSIENT else StoreBroken
            raise refused(f"{path} cannot be locked: {lock}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise StoreBroken(f"{path} is in use by {holder or 'another process'}; stop that first") from error
        # One size, so that nothing needs truncating: that alone costs a millisecond on some file systems.
        os.pwrite(
            descriptor, f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'})"[:79].ljust(80).encode(), 0
        )
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
