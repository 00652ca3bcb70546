"""Test suites that are written, run as their users run them, and timed with all that they start."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 900.0


@dataclass(frozen=True, slots=True)
class Run:
    """Wall time and processor time (of all processes, the fleet's too) in seconds; what was written."""

    wall: float
    cpu: float
    output: str


def run(command: Sequence[str], folder: Path) -> Run:
    """Run a suite in its folder. Raises RuntimeError if it fails."""
    dropped = ("PYTEST_", "KUBECONFIG", "KLOSTER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    cpu, began = _cpu_of_children(), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return Run(wall, _cpu_of_children() - cpu, done.stdout)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
