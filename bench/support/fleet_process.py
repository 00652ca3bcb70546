"""A fleet with one virtual cluster, started for a benchmark and ended with it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from kloster.cli import clusters
from kloster.cli.hostapi import HostAPI
from support.arguments import Arguments

ROOT = Path(__file__).parents[2]
START = 60.0


@contextmanager
def started(arguments: Arguments, nodes: int = 3, version: str = "1.34") -> Iterator[tuple[dict[str, Any], int]]:
    """(kubeconfig of a fresh virtual cluster's administrator, process id of the fleet)."""
    base = arguments.directory or ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="fleet-", dir=base))
    process = None
    try:
        process = _start(arguments, directory, nodes)
        host = HostAPI(yaml.safe_load((directory / "admin.conf").read_text()))
        clusters.wait_ready(host, clusters.create(host, "default", "bench", {"kubernetesVersion": version}))
        secret = host.get("/api/v1/namespaces/default/secrets/kubeconfig-bench")
        yield yaml.safe_load(base64.b64decode(secret["data"]["config"])), process.pid
    finally:
        if process is not None:
            _end(process)
        shutil.rmtree(directory, ignore_errors=True)


def _start(arguments: Arguments, directory: Path, nodes: int) -> subprocess.Popen[bytes]:
    read_end, write_end = os.pipe()
    environment = dict(os.environ)
    if arguments.source is not None:
        environment["PYTHONPATH"] = str(arguments.source.absolute())
    command = [arguments.python or sys.executable, "-m", "kloster.fleet", "--data-dir", str(directory)]
    command += ["--ready-fd", str(write_end), "--nodes", str(nodes), "--workers", str(arguments.workers)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=(write_end,), env=environment, cwd=ROOT)
    os.close(write_end)
    os.sched_setaffinity(process.pid, arguments.server_cpus)
    with os.fdopen(read_end, "rb") as pipe:
        told = orjson.loads(pipe.read() or b'{"error": "it ended"}')
    if "error" in told:
        _end(process)
        raise RuntimeError(f"the fleet did not start: {told['error']}\n{(directory / 'log').read_text()[-2000:]}")
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
