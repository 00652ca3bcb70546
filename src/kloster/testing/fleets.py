"""The fleet that serves the clusters of a test run: started by who needs it first, shared, gone with the last.

    ROOT/lock       held while the fleet is started, joined or cleaned away
    ROOT/users      everybody who uses the fleet holds a shared lock on it: who gets an exclusive one is the last
    ROOT/lifeline   a FIFO; the fleet reads it, every user holds its writing end. The kernel closes what a process
                    held, however the process ended, so the fleet learns that its last user has gone
    ROOT/data       the fleet's data directory

The fleet's process removes ROOT when it ends. Only if it was killed itself does the last user do that, and if all were
killed at once, the next run on the machine.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from kloster.apiserver.rehearsal import SPECTATOR
from kloster.client.blocking import Blocking
from kloster.fleet import launch
from kloster.fleet.datadir import DataDir, DataDirError
from kloster.testing.deletions import Deletions
from kloster.testing.errors import FleetGone, TestingError

PREFIX = "kloster-testing-"
PATIENCE = 15.0
A_FEW_PAGES = 16 * 1024
AGENT = SPECTATOR


class Fleet:
    """A running fleet that this process uses. Close it, or use it as a context manager.

    root    where everything of the fleet lies; processes that name the same one share a fleet. Default: a new
            temporary directory
    nodes   how many simulated nodes it has, if it is started here
    """

    def __init__(self, root: Path | None = None, *, nodes: int = 1, options: Sequence[str] = ()) -> None:
        if root is None:
            root = _fresh()
        self.root = root
        self.directory = DataDir(root / "data")
        self._process = os.getpid()
        try:
            self._use = _join(root, ["--nodes", str(nodes), "--local-webhooks", *options])
        except BaseException as error:
            remove(root)
            with contextlib.suppress(OSError):
                root.rmdir()  # nothing has come into it
            if isinstance(error, OSError):
                raise TestingError(f"no fleet could be started for the tests in {root}: {error.strerror}") from error
            raise
        self.pid = self._use.pid
        content = yaml.load(self.directory.admin_kubeconfig.read_text(), Loader=yaml.CSafeLoader)
        self.host = Blocking(content, AGENT)
        self.deletions = Deletions(lambda: Blocking(content, AGENT))
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Ask the host's API, as its administrator. Raises StatusError, FleetGone."""
        try:
            return self.host.request(method, path, query, body)
        except OSError as error:
            raise self.gone(error) from error

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.directory.holder() != 0

    def disk_is_full(self) -> bool:
        """Whether there is no space left where it writes."""
        with contextlib.suppress(OSError):
            found = os.statvfs(self.directory.root)
            return found.f_bavail * found.f_frsize < A_FEW_PAGES
        return False

    def kill(self) -> None:
        """End its process without a farewell, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        while self.running:
            time.sleep(0.01)
        self._use.reap(PATIENCE)

    def gone(self, error: Exception) -> FleetGone:
        """What to raise when the fleet does not answer."""
        if self.running:
            return FleetGone(f"the fleet (process {self.pid}) does not answer: {error}; its log: {self.directory.log}")
        with contextlib.suppress(OSError):
            lines = self.directory.log.read_text(errors="replace").strip().splitlines()
            return FleetGone(
                f"the fleet (process {self.pid}) has ended; the end of its log: {(lines or [''])[-1][:300]}"
            )
        return FleetGone(f"the fleet (process {self.pid}) has ended")

    def close(self) -> None:
        """Use it no longer. The last user waits until nothing of it is left. Idempotent."""
        if self._closed or self._process != os.getpid():  # a fork has copies of the descriptors, not the fleet
            return
        self._closed = True
        if self.running:
            self.deletions.close()
        self.host.close()
        os.close(self._use.lifeline)
        try:
            last = _locked_now(self._use.users)
        finally:
            os.close(self._use.users)
        if last:
            _await_end(self.root)
            self._use.reap(PATIENCE)


class Given(Fleet):
    """A fleet that runs already and goes on afterwards: somebody else's. `root` is a folder for files of ours."""

    def __init__(self, root: Path, directory: DataDir) -> None:
        self.root = root
        self.directory = directory
        self.pid = directory.holder()
        content = yaml.load(directory.admin_kubeconfig.read_text(), Loader=yaml.CSafeLoader)
        self.host = Blocking(content, AGENT)
        self.deletions = Deletions(lambda: Blocking(content, AGENT))
        self._process = os.getpid()
        self._closed = False

    def close(self) -> None:
        """Wait until the clusters that were made in it are deleted."""
        if not self._closed and self._process == os.getpid():
            self._closed = True
            if self.running:
                self.deletions.finish()
            self.host.close()


@dataclass(frozen=True, slots=True)
class Use:
    """That this process uses a fleet: its locks' descriptors, the fleet's process, and that as a child if it is one."""

    users: int
    lifeline: int
    pid: int
    child: subprocess.Popen[bytes] | None = None

    def reap(self, patience: float) -> None:
        """The fleet's process is about to end: wait for that, so that nothing of it stays in the process table."""
        if self.child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(patience)
            return
        ends = time.monotonic() + min(patience, 2.0)  # a process 1 that does not reap would leave it there
        with contextlib.suppress(OSError):
            while time.monotonic() < ends:
                os.kill(self.pid, 0)
                time.sleep(0.01)


_children: list[subprocess.Popen[bytes]] = []
"""Fleets that were started here and serve others still."""


def _fresh() -> Path:
    """A new temporary directory. Raises TestingError."""
    try:
        sweep()
        return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.geteuid()}-"))
    except OSError as error:
        text = error.strerror if error.filename else "every temporary directory is missing, full or closed to you"
        raise TestingError(f"no fleet could be started for the tests: {text}; set TMPDIR to one with space") from error


def _join(root: Path, arguments: Sequence[str]) -> Use:
    """Use the fleet of `root`, starting it if nobody has."""
    directory = DataDir(root / "data")
    ends = time.monotonic() + launch.TIMEOUT
    while time.monotonic() < ends:
        with locked(root):
            state = _state(directory)
            if state is not None:
                found = _enter(root, directory, int(state["pid"]))
                if found is not None:
                    return found
            elif not directory.holder():
                if directory.state.exists():
                    raise FleetGone(f"the fleet of this test run was killed; its log: {directory.log}")
                return _start(root, directory, arguments)
        time.sleep(0.02)  # one is about to end
    raise TestingError(f"the fleet in {root} neither serves nor ends; its log: {directory.log}")


def _start(root: Path, directory: DataDir, arguments: Sequence[str]) -> Use:
    shutil.rmtree(directory.root, ignore_errors=True)
    lifeline = root / "lifeline"
    with contextlib.suppress(FileExistsError):
        os.mkfifo(lifeline, 0o600)
    reading = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        writing = os.open(lifeline, os.O_WRONLY | os.O_CLOEXEC)
        users = _user(root)
        try:
            launched = launch.detached(directory, ["--temporary", str(root), *arguments], reading)
        except BaseException as error:
            os.close(writing)
            os.close(users)
            if isinstance(error, launch.LaunchError | DataDirError):
                raise TestingError(f"no fleet could be started for the tests: {error}") from error
            raise
    finally:
        os.close(reading)
    _children.append(launched.process)
    return Use(users, writing, launched.process.pid, launched.process)


def _enter(root: Path, directory: DataDir, pid: int) -> Use | None:
    """Join the fleet that runs; None if it is about to end.

    It takes back its state file before it ends, and answers no request in between: if the file is there after an
    answer, it knows of this user.
    """
    try:
        writing = os.open(root / "lifeline", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    users = _user(root)
    try:
        content = yaml.load(directory.admin_kubeconfig.read_text(), Loader=yaml.CSafeLoader)
        host = Blocking(content, AGENT, PATIENCE)
        host.get("/livez")
        host.close()
        if _state(directory) is not None:
            return Use(users, writing, pid)
    except OSError:
        pass
    os.close(writing)
    os.close(users)
    return None


def _user(root: Path) -> int:
    descriptor = os.open(root / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _state(directory: DataDir) -> dict[str, Any] | None:
    """What the fleet said when it was ready, while it is."""
    holder = directory.holder()
    return directory.served(holder) or None


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold ROOT/lock. ROOT is made if it has just been removed."""
    while True:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_still(descriptor, root / "lock"):
                continue
            yield
            return
        finally:
            os.close(descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one that the path names; it may have been removed while it was waited for."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _locked_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _await_end(root: Path) -> None:
    """The last user has let go: wait until the fleet has removed ROOT; do it in its place if it was killed."""
    ends = time.monotonic() + PATIENCE
    directory = DataDir(root / "data")
    while root.exists() and time.monotonic() < ends:
        if not directory.holder():
            remove(root)
        time.sleep(0.01)


def remove(root: Path) -> bool:
    """Remove what a fleet has left behind, unless somebody uses it."""
    try:
        users = os.open(root / "users", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        if not (root / "lock").exists():
            return False  # somebody has just made it
        users = -1
    try:
        if (users >= 0 and not _locked_now(users)) or DataDir(root / "data").holder():
            return False
        with locked(root):
            shutil.rmtree(root, ignore_errors=True)
        return True
    finally:
        if users >= 0:
            os.close(users)


def sweep() -> None:
    """Remove what earlier runs of this user have left that were killed together with their fleets."""
    for root in Path(tempfile.gettempdir()).glob(f"{PREFIX}{os.geteuid()}-*"):
        with contextlib.suppress(OSError):
            if root.stat().st_uid == os.geteuid() and time.time() - root.stat().st_mtime > launch.TIMEOUT:
                remove(root)


_common_lock = threading.Lock()
_common: list[Fleet] = []


def common() -> Fleet:
    """The fleet that this process starts for clusters that name none; it ends with the process."""
    with _common_lock:
        if not _common or _common[0]._process != os.getpid():
            _common[:] = [Fleet()]
            atexit.register(_common[0].close)
        return _common[0]
