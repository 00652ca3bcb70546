"""One command, once for each version: where it runs, how it ends, what is kept of it.

    .kloster/VERSION/output.txt      what the command wrote
    .kloster/VERSION/junit.xml       its report, if it wrote one there (KLOSTER_JUNIT; pytest does by itself)
    .kloster/VERSION/TEST/           what its cluster held, if it failed
    .kloster/junit.xml               all reports as one

Every command runs in a process group of its own and is ended as a whole. Who watches over that, and over clusters in a
fleet that goes on, is `guard`, in case that this process is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from kloster.apimachinery.errors import StatusError
from kloster.cli import guard, junit
from kloster.cli.errors import CliError
from kloster.cli.junit import Counts
from kloster.envtest import assets
from kloster.fleet import owners
from kloster.testing import reports
from kloster.testing.cluster import Cluster
from kloster.testing.errors import TestingError
from kloster.testing.virtualclusters import NAMESPACE

GRACE = 10.0
"""Seconds that a command has to end after it was asked to."""


@dataclass(slots=True)
class Outcome:
    """How the command went on one version. `code` as a shell has it; `dump` where its cluster is described."""

    version: str
    code: int
    seconds: float
    counts: Counts = field(default_factory=Counts)
    reports: list[Path] = field(default_factory=list)
    dump: Path | None = None
    problem: str = ""

    @property
    def summary(self) -> str:
        if self.problem:
            return self.problem
        if self.counts.failed:
            return f"{self.counts.failed} failed"
        if self.code:
            return f"exit code {self.code}"
        return f"{self.counts.passed} passed" if self.counts else "passed"


class _CannotRun(Exception):
    """The command cannot be started; `code` is what a shell says then."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Trials:
    """Runs `command` in `folder`/VERSION. Use as a context manager: leaving it ends what still runs.

    lasting     the fleet's directory, if the fleet goes on afterwards
    """

    def __init__(self, command: Sequence[str], folder: Path, lasting: Path | None) -> None:
        self._command = list(command)
        delete = ("-m", "kloster.cli", "delete", "--namespace", NAMESPACE, "--data-dir", str(lasting))
        self._farewell = delete if lasting is not None else ()
        self.folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, *self._farewell],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._tell(".")
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()

    def announce(self, cluster: Cluster) -> None:
        """A cluster is about to be made that is to go with the run."""
        with self._lock:
            self._tell(f"={cluster.name}")

    def run(self, version: str, cluster: Cluster) -> Outcome:
        """Run the command with `cluster`; describe that if it failed."""
        folder = self.folder / version
        began, clock = time.monotonic(), time.time()
        try:
            code = self._call(version, cluster, folder)
        except _CannotRun as error:
            return Outcome(version, error.code, 0.0, problem=str(error))
        outcome = Outcome(version, code, time.monotonic() - began, reports=junit.find(folder, clock - 1))
        text = (folder / "output.txt").read_text(errors="replace")
        outcome.counts = junit.count(outcome.reports) or junit.read_output(text)
        if code and not self._ended:
            outcome.dump = _dump(cluster, folder, outcome.counts)
        return outcome

    def _call(self, version: str, cluster: Cluster, folder: Path) -> int:
        values = {"{version}": version, "{dir}": str(folder), "{junit}": str(folder / "junit.xml")}
        command = [_filled(part, values) for part in self._command]
        with (folder / "output.txt").open("wb") as output:
            with self._lock:
                if self._ended:
                    return 130
                process = self._begin(command, output, environment(version, cluster, folder))
                self._running[process.pid] = process
                self._tell(f"+{process.pid}")
            try:
                code = process.wait()
            finally:
                self._sweep(process.pid)
        return code if code >= 0 else 128 - code

    def _begin(self, command: Sequence[str], output: IO[bytes], told: Mapping[str, str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=told,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise _CannotRun(127, f"cannot run {self._command[0]}: no such command on PATH") from None
        except PermissionError:
            raise _CannotRun(126, f"cannot run {self._command[0]}: it is not executable") from None

    def _sweep(self, group: int) -> None:
        """The command has ended: so does what it left running."""
        with self._lock:
            self._running.pop(group, None)
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
            self._tell(f"-{group}")

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.write(f"{line}\n")
            self._guard.stdin.flush()

    def end(self) -> None:
        """Interrupt what runs, as Ctrl-C would; kill what has not ended after a while."""
        with self._lock:
            self._ended = True
            running = list(self._running.items())
        for group, _ in running:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGINT)
        ends = time.monotonic() + GRACE
        for group, process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, ends - time.monotonic()))
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)


def _filled(text: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def environment(version: str, cluster: Cluster, folder: Path) -> dict[str, str]:
    """What the command is given.

    Suites that use envtest start control planes of the version by themselves (KUBEBUILDER_ASSETS); with
    USE_EXISTING_CLUSTER=true, which is theirs to set, they use the cluster of KUBECONFIG.
    """
    executables = cluster.fleet.root / "envtest" / version
    assets.write(executables, version)
    report = folder / "junit.xml"
    options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={shlex.quote(str(report))}".strip()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TEST_ASSET_")},
        "KUBECONFIG": str(cluster.kubeconfig),
        "KUBEBUILDER_ASSETS": str(executables),
        "KLOSTER_KUBERNETES_VERSION": version,
        "KLOSTER_RUN_DIR": str(folder),
        "KLOSTER_JUNIT": str(report),
        "PYTEST_ADDOPTS": options,
    }


def _dump(cluster: Cluster, folder: Path, counts: Counts) -> Path | None:
    """What the cluster holds, in a folder named after the test that failed, if there is one."""
    name = reports.file_name(counts.failures[0]) if len(counts.failures) == 1 else "cluster"
    try:
        return cluster.dump(folder / name)
    except (StatusError, TestingError, OSError) as error:
        with contextlib.suppress(OSError):
            (folder / "dump.txt").write_text(f"the cluster could not be described: {error}\n")
        return None


@contextlib.contextmanager
def folder_alone(folder: Path, versions: Sequence[str]) -> Iterator[None]:
    """Have empty folders for what is kept, and nobody else who uses them. Raises CliError, HomeError."""
    owners.refuse_sudo(folder, "--output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise unusable(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(f"another kloster run uses {folder}; choose another folder with --output") from None
        try:
            (folder / "junit.xml").unlink(missing_ok=True)
            for version in versions:
                _empty(folder / version)
        except OSError as error:
            raise unusable(folder, error) from error
        yield


def unusable(folder: Path, error: OSError) -> CliError:
    return CliError(f"{folder} cannot be used: {error.strerror or error}; choose another with --output")


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
