"""Where a fleet keeps its files, and that only one process uses them.

    DIR/
      lock              held while a fleet runs (flock); holds its process id
      fleet.json        what `kloster` commands need to find it: address, process id, version (0600)
      log               what the detached process writes
      ports.json        cluster → port, so that yesterday's kubeconfig works
      layers/           immutable layers: templates of Kubernetes versions, frozen overlays
      clusters/ID/      one cluster: cluster.json (its record, with keys, 0600), its store
      admin.conf        kubeconfig of the embedded host (0600)

The directory is private to its user (0700).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kloster.fleet import owners


class DataDirError(Exception):
    """The directory cannot be used; the text says why and what to do."""


LONGEST_SOCKET_DIRECTORY = 80
"""Bytes. The path of a Unix socket may have about a hundred."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """A fleet's directory."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "fleet.json"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.root / "admin.conf"

    def sockets(self) -> Path:
        """Where Unix sockets are made. Their paths must be short, so a long directory's are elsewhere, as private."""
        inside, apart = self._sockets_inside, self._sockets_apart
        if _fits(inside):
            inside.mkdir(exist_ok=True, mode=0o700)
            return inside
        with contextlib.suppress(FileExistsError):
            apart.mkdir(mode=0o700)
        found = apart.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise DataDirError(
                f"{apart} is not a private directory of yours; remove it, or choose a shorter --data-dir"
            )
        return apart

    def forget_sockets(self) -> None:
        """Remove what `sockets` has made outside of the directory. For the process that holds it, when it ends."""
        apart = self._sockets_apart
        if not _fits(self._sockets_inside) and not apart.is_symlink():
            shutil.rmtree(apart, ignore_errors=True)

    @property
    def _sockets_inside(self) -> Path:
        return self.root / "sockets"

    @property
    def _sockets_apart(self) -> Path:
        name = f"kloster-{os.geteuid()}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}"
        wished = Path(tempfile.gettempdir()) / name
        return wished if _fits(wished) else Path("/tmp") / name

    def cluster(self, id: str) -> Path:
        return self.root / "clusters" / id

    def prepare(self) -> None:
        """Make the directories. Raises DataDirError if they belong to somebody else or cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.root.stat().st_uid != os.geteuid():
                raise self._somebody_elses()
            self.root.chmod(0o700)
            for directory in (self.layers, self.root / "clusters"):
                directory.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            text = f"{self.root} cannot be used: {error.strerror or error}; choose another with --data-dir"
            raise DataDirError(text) from error

    def check_readable(self) -> None:
        """Raises DataDirError if what is there cannot be looked at: then nobody can say what it holds."""
        try:
            there = self.root.is_dir()
        except OSError as error:
            raise DataDirError(f"{self.root} cannot be read: {error.strerror}") from error
        if there and not os.access(self.root, os.R_OK | os.X_OK):
            raise self._somebody_elses()

    def _somebody_elses(self) -> DataDirError:
        return DataDirError(
            f"{self.root} belongs to user {self.root.stat().st_uid}, not to you ({os.geteuid()}); "
            "choose another with --data-dir or KLOSTER_DATA_DIR"
        )

    @contextlib.contextmanager
    def locked(self, patience: float = 2.0) -> Iterator[int]:
        """Hold the directory; yields the lock's descriptor, which child processes may share.

        Raises DataDirError if another process has it. One that is just ending, or only looking (`holder`), is waited
        for, `patience` seconds.
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor, patience)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, patience: float) -> None:
        ends = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise DataDirError(
                        f"{self.root} is in use by the fleet with process id {_holder(descriptor) or 'unknown'}; "
                        "stop it with kloster down, or choose another with --data-dir"
                    ) from None
            time.sleep(0.02)

    def holder(self) -> int:
        """The process id of the fleet that holds the directory; 0 if none does. Never waits."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(descriptor)
        finally:
            os.close(descriptor)
        return 0

    def served(self, holder: int) -> dict[str, Any]:
        """What the fleet's process said when it was ready; empty if `holder` (as told by `holder`) is not serving.

        The file outlives a process that was killed; and the lock does for a moment, because its workers share it.
        """
        state = read_json(self.state) if holder and _is_there(holder) else None
        return state if isinstance(state, dict) and state.get("pid") == holder else {}

    @property
    def _lock(self) -> Path:
        return self.root / "lock"


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory)) <= LONGEST_SOCKET_DIRECTORY


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else 0


def _is_there(pid: int) -> bool:
    """Whether the process runs. One that has ended may stay in the table for long, where nobody asks how it ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def default_root() -> Path:
    """KLOSTER_DATA_DIR, else $XDG_DATA_HOME/kloster, else ~/.local/share/kloster. Raises HomeError."""
    chosen = os.environ.get("KLOSTER_DATA_DIR")
    return owners.expanded(Path(chosen)).absolute() if chosen else owners.data_home() / "kloster"


def write_json(path: Path, value: Any) -> None:
    """Replace a file atomically and durably; readable by its owner alone."""
    write_bytes(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably; readable by its owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """The file's content, None if there is no such file. Raises DataDirError if it is damaged or cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataDirError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataDirError(f"{path} is damaged: {error}") from error
