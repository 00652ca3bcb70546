"""How fast virtual clusters are made.

Three figures: from POST of a VirtualCluster to Ready in its status, one after the other (in the server); the whole
command `kloster create` to a first GET by another process (host running); and creations per second, many at once.

Wanted: ≤ 50 ms in the server, ≤ 300 ms for the command and a GET, ≥ 20 creations a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from support import processes, report, whole_fleet
from support.whole_fleet import WholeFleet

from kloster.cli import clusters

GET = """
import sys, yaml
from kloster.cli.hostapi import HostAPI
found = HostAPI(yaml.load(open(sys.argv[1]), Loader=yaml.CSafeLoader)).get("/api/v1/namespaces/kube-system")
assert found["metadata"]["name"] == "kube-system"
"""


def main() -> None:
    parser = whole_fleet.parser(__doc__)
    parser.add_argument("--single", type=int, default=10, help="clusters made one after the other, per round")
    parser.add_argument("--many", type=int, default=50, help="clusters made at once, per round")
    given = parser.parse_args()
    print(processes.machine())
    turns = []
    for _ in range(given.rounds):
        began = time.perf_counter()
        with whole_fleet.started(given.directory, "--workers", str(given.workers)) as fleet:
            up = time.perf_counter() - began
            single = [_one(fleet, f"single-{number}") for number in range(given.single)]
            command = [_command(fleet, f"command-{number}") for number in range(given.single)]
            turns.append(
                {
                    "up ms": up * 1000,
                    "first, server ms": single[0] * 1000,
                    "server ms": median(single[1:]) * 1000,
                    "command + GET ms": median(command) * 1000,
                    "creations/s": _many(fleet, given.many),
                }
            )
    report.table("creating virtual clusters", {"kloster": turns})


def _one(fleet: WholeFleet, name: str) -> float:
    """Seconds from POST to Ready, as a client sees it."""
    began = time.perf_counter()
    clusters.wait_ready(fleet.host, clusters.create(fleet.host, "default", name, {}))
    return time.perf_counter() - began


def _command(fleet: WholeFleet, name: str) -> float:
    """Seconds of the whole command and of a first GET by another process."""
    with tempfile.TemporaryDirectory() as home:
        kubeconfig = Path(home) / "config"
        environment = {**os.environ, "HOME": home, "KUBECONFIG": str(kubeconfig)}
        directory = str(fleet.located.directory.root)
        began = time.perf_counter()
        command = [sys.executable, "-m", "kloster.cli", "create", name, "--data-dir", directory]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        subprocess.run([sys.executable, "-c", GET, str(kubeconfig)], env=environment, check=True)
        return time.perf_counter() - began


def _many(fleet: WholeFleet, count: int) -> float:
    """Creations a second, all asked for at once."""
    began = time.perf_counter()
    for number in range(count):
        clusters.create(fleet.host, "default", f"many-{number}", {})
    waiting = {f"many-{number}" for number in range(count)}
    while waiting:
        for one in fleet.host.get(clusters.collection("default"))["items"]:
            if clusters.condition(one, "Ready").get("status") == "True":
                waiting.discard(one["metadata"]["name"])
        time.sleep(0.01)
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
