"""A fleet in a directory of its own, started and driven only through the CLI, as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

START = 90
END = 30


@dataclass(frozen=True, slots=True)
class Cluster:
    """A virtual cluster and the kubeconfig that reaches it."""

    name: str
    version: str
    kubeconfig: Path


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet of one data directory. Nothing in it listens outside loopback."""

    directory: Path

    def kloster(self, *arguments: str, timeout: float = START) -> str:
        """Run one `kloster` command. Returns its output; fails with both streams if the command does."""
        finished = subprocess.run(
            [sys.executable, "-m", "kloster.cli", *arguments],
            env={
                **os.environ,
                "KLOSTER_DATA_DIR": str(self.directory / "data"),
                "KUBECONFIG": str(self.directory / "none"),
                "NO_COLOR": "1",
            },
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if finished.returncode:
            raise AssertionError(
                f"kloster {' '.join(arguments)}: exit code {finished.returncode}\n{finished.stdout}{finished.stderr}"
                f"\n{self._end_of_log()}"
            )
        return finished.stdout

    def up(self, *options: str) -> None:
        self.kloster("up", "--workers", "1", "--bind", "127.0.0.1", *options)

    def down(self) -> None:
        self.kloster("down", timeout=END + 10)

    def create(self, name: str, version: str) -> Cluster:
        self.kloster("create", name, "--kubernetes-version", version, "--no-connect")
        path = self.directory / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(self.kloster("connect", name, "--print"))
        return Cluster(name, version, path)

    def host(self) -> Cluster:
        """The embedded host itself."""
        path = self.directory / "host.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(self.kloster("connect", "--host", "--print"))
        return Cluster("host", "", path)

    def delete(self, name: str) -> None:
        self.kloster("delete", name)

    def pid(self) -> int:
        """The process of the fleet, 0 if none runs."""
        try:
            state: dict[str, Any] = json.loads((self.directory / "data" / "fleet.json").read_text())
        except FileNotFoundError:
            return 0
        return int(state.get("pid", 0))

    def end(self) -> None:
        """Stop the fleet by its own command; by its process id if that fails."""
        pid = self.pid()
        try:
            self.down()
        finally:
            if pid:
                _end(pid)

    def _end_of_log(self) -> str:
        log = self.directory / "data" / "log"
        return log.read_text(errors="replace")[-3000:] if log.is_file() else ""


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(50):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            time.sleep(0.1)


def in_namespace(kubeconfig: Path, namespace: str, target: Path) -> Path:
    """A copy of a kubeconfig whose context selects a namespace."""
    document = yaml.safe_load(kubeconfig.read_text())
    for context in document["contexts"]:
        context["context"]["namespace"] = namespace
    target.touch(mode=0o600)
    target.write_text(yaml.safe_dump(document))
    return target
