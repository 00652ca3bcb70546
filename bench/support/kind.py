"""Clusters of kind (Kubernetes in Docker), for machines that have it."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from kloster.client.blocking import Blocking
from support import processes


class Kind:
    """Each cluster is a node of its own, in a container. `options` are those of ``kind create cluster``.

    Memory and processor time are those of the containers' processes, which Linux shows to root; else they are nan.
    """

    name = "kind"

    def __init__(self, options: list[str]) -> None:
        missing = [program for program in ("kind", "docker") if shutil.which(program) is None]
        if missing:
            raise SystemExit(f"--kind needs {' and '.join(missing)} on PATH")
        self._options = options
        self._numbers = itertools.count()
        self._nodes: dict[str, int] = {}
        self._ended = 0.0

    def pids(self) -> tuple[int, ...]:
        if os.geteuid() != 0:
            return ()
        return tuple(pid for node in self._nodes.values() for pid in processes.descendants(node))

    def cpu_seconds(self) -> float:
        return self._ended + processes.cpu_seconds(self.pids()) if os.geteuid() == 0 else math.nan

    @contextmanager
    def lend(self) -> Iterator[Blocking]:
        name = f"kloster-bench-{os.getpid()}-{next(self._numbers)}"
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = Path(folder, "kubeconfig")
            try:
                _run("kind", "create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), *self._options)
                self._nodes[name] = int(_run("docker", "inspect", "-f", "{{.State.Pid}}", f"{name}-control-plane"))
                api = Blocking(yaml.safe_load(kubeconfig.read_text()), "bench")
                yield api
                api.close()
            finally:
                before = self.cpu_seconds()
                self._nodes.pop(name, None)
                self._ended += before - self.cpu_seconds()
                _run("kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
