"""A whole fleet without clusters, for benchmarks that make their own."""

from __future__ import annotations

import argparse
import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kloster.cli import start
from kloster.cli.hostapi import HostAPI
from kloster.cli.locate import Fleet, find
from support import processes
from support.fleet_process import ROOT


@dataclass(frozen=True, slots=True)
class WholeFleet:
    """`pid` is the main process; workers are its children."""

    located: Fleet
    host: HostAPI
    pid: int

    def pids(self) -> tuple[int, ...]:
        return (self.pid, *processes.children(self.pid))

    def pss(self) -> float:
        """MiB that its processes hold, what they share counted once."""
        return sum(processes.pss(pid) for pid in self.pids())

    def cluster(self, name: str, namespace: str = "default") -> HostAPI:
        """A virtual cluster's API, for its administrator."""
        secret = self.host.get(f"/api/v1/namespaces/{namespace}/secrets/kubeconfig-{name}")
        document: dict[str, Any] = yaml.load(base64.b64decode(secret["data"]["config"]), Loader=yaml.CSafeLoader)
        return HostAPI(document)


def parser(about: str | None, rounds: int = 3) -> argparse.ArgumentParser:
    """What benchmarks of whole fleets are told; each adds what is its own. Without `rounds` there is one fleet."""
    found = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds:
        found.add_argument("--rounds", type=int, default=rounds, help="fleets that are started")
    found.add_argument("--workers", type=int, default=1, help="as of kloster up")
    found.add_argument("--directory", type=Path, help="scratch directory on a disk (default: build/bench)")
    return found


@contextmanager
def started(directory: Path | None = None, *options: str) -> Iterator[WholeFleet]:
    """A fleet in a directory of its own on a real disk, ended and removed afterwards."""
    base = directory or ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="fleet-", dir=base))
    try:
        state = start.detached(find(root), list(options))
        located = find(root)
        try:
            yield WholeFleet(located, located.host(), int(state["pid"]))
        finally:
            processes.end(int(state["pid"]))
    finally:
        shutil.rmtree(root, ignore_errors=True)
