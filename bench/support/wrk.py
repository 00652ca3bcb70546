"""Load by wrk, with requests made by a Lua script beside this file."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.contender import Contender

_RESULT = re.compile(r"RESULT (\d+) (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn came to. Latencies in milliseconds; `cpu` is the server's, in microseconds per request."""

    rate: float
    cpu: float
    median: float
    p99: float
    errors: int


def run(
    contender: Contender,
    script: str,
    environment: Mapping[str, str],
    *,
    seconds: float,
    cpus: frozenset[int],
    connections: int = 64,
) -> Turn:
    """One turn. Raises RuntimeError if wrk is missing or fails."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is needed: apt-get install wrk")
    host, port = contender.address
    places = ",".join(map(str, sorted(cpus)))
    command = ["taskset", "-c", places, wrk, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "10s"]
    command += ["-s", str(Path(__file__).parent / script), f"https://{host}:{port}"]
    before = contender.cpu_seconds()
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    used = contender.cpu_seconds() - before
    found = _RESULT.search(done.stdout)
    if found is None:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    requests, microseconds, status_errors, other_errors = (int(found[number]) for number in range(1, 5))
    return Turn(
        rate=requests * 1e6 / microseconds,
        cpu=used * 1e6 / max(requests, 1),
        median=float(found[5]) / 1000,
        p99=float(found[6]) / 1000,
        errors=status_errors + other_errors,
    )
