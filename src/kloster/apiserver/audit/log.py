"""The audit log: a file of its owner's alone, one event a line, changed for a new one when it has become large."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from kloster.apiserver.audit import event

log = structlog.get_logger(__name__)

DEFAULT_SIZE = 100 << 20
STANDARD_OUTPUT = "-"


class AuditLog:
    """Writes events to `path`, or to standard output (``-``). Close it. Raises OSError if it cannot be begun.

    size      bytes after which the file is laid aside; 0: 100 MiB
    backups   how many of those are kept; 0: all
    """

    def __init__(self, path: Path | None, size: int = 0, backups: int = 0) -> None:
        self._path = path
        self._size = size or DEFAULT_SIZE
        self._backups = backups
        self._failing = False
        self._descriptor = sys.stdout.fileno() if path is None else _begin(path)
        self._written = 0 if path is None else os.fstat(self._descriptor).st_size

    def write(self, found: dict[str, Any]) -> None:
        """Append an event. A disk that is full loses events, which is said once; nobody is kept waiting for it."""
        line = event.line(found)
        try:
            if self._path is not None and self._written and self._written + len(line) > self._size:
                self._turn(self._path)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            self._written += len(line)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.error("audit events are lost", path=str(self._path), error=str(error))
            self._failing = True

    def _turn(self, path: Path) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        path.rename(path.with_name(f"{path.stem}-{moment}{path.suffix}"))
        os.close(self._descriptor)
        self._descriptor, self._written = _begin(path), 0
        old = sorted(path.parent.glob(f"{path.stem}-????-??-??T??-??-??.??????{path.suffix}"))
        for one in old[: -self._backups] if self._backups else ():
            one.unlink(missing_ok=True)

    def close(self) -> None:
        if self._path is not None and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _begin(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
