"""What a virtual cluster costs that nobody uses.

Each cluster runs the demo's application (a Deployment with 3 replicas, a Job, a Service, …) until all of it runs, gets
5 CustomResourceDefinitions with an object each, and is watched for a moment. Then everybody leaves; its pods run on.
The figure is the PSS of all processes of the fleet beyond that of the same fleet without clusters, per cluster.

Wanted: ≤ 0.75 MiB.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support import processes, report, whole_fleet
from support.whole_fleet import WholeFleet

from kloster.apimachinery.errors import StatusError
from kloster.cli import clusters, demo_application
from kloster.cli.hostapi import HostAPI

AT_ONCE = 5
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def main() -> None:
    parser = whole_fleet.parser(__doc__, rounds=0)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--park-after", type=float, default=30.0, help="seconds until an idle cluster is parked")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait at most for memory to settle")
    given = parser.parse_args()
    print(processes.machine())
    options = ("--workers", str(given.workers), "--park-after", str(given.park_after), "--nodes", "10")
    with whole_fleet.started(given.directory, *options) as fleet:
        time.sleep(2)
        empty = fleet.pss()
        began = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as users:
            list(users.map(lambda number: _use(fleet, f"c{number}"), range(given.clusters)))
        took = time.perf_counter() - began
        busy = fleet.pss()
        idle = _settled(fleet, given.wait, given.park_after)
        wake = [_first_get(fleet, f"c{number}") for number in range(0, given.clusters, max(1, given.clusters // 10))]
        figures = {
            "empty MiB": empty,
            "busy MiB": busy,
            "idle MiB": idle,
            "MiB per idle cluster": (idle - empty) / given.clusters,
            "waking GET ms": sorted(wake)[len(wake) // 2] * 1000,
            "seconds in use": took,
        }
    report.table(f"{given.clusters} idle clusters", {"kloster": [figures]})


def _use(fleet: WholeFleet, name: str) -> None:
    """A cluster that has done something."""
    clusters.wait_ready(fleet.host, clusters.create(fleet.host, "default", name, {"kubernetesVersion": "1.34"}))
    api = fleet.cluster(name)
    for path, body in demo_application.OBJECTS:
        _create(api, path, body)
    for number in range(5):
        definition, path, item = _custom(number)
        _create(api, DEFINITIONS, definition)
        _create(api, path, item)
    for _ in api.watch("/api/v1/namespaces/shop/pods", 1.0):
        break
    for what, check in demo_application.CHECKS.items():
        ends = time.monotonic() + 60
        while found := check(api):
            if time.monotonic() > ends:
                raise RuntimeError(f"{name}: {what}: {found}")
            time.sleep(0.05)


def _custom(number: int) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(definition, collection, object) of a kind like the demo's."""
    definition = copy.deepcopy(demo_application.DEFINITION)
    plural = f"kind{number}s"
    definition["metadata"] = {"name": f"{plural}.shop.example.com"}
    names: Mapping[str, str] = {"plural": plural, "singular": f"kind{number}", "kind": f"Kind{number}"}
    definition["spec"]["names"] = {**names, "listKind": f"Kind{number}List"}  # type: ignore[index]
    item = {
        "apiVersion": "shop.example.com/v1",
        "kind": f"Kind{number}",
        "metadata": {"name": "first", "namespace": "shop"},
        "spec": {"item": "candle"},
    }
    return definition, f"/apis/shop.example.com/v1/namespaces/shop/{plural}", item


def _create(api: HostAPI, path: str, body: dict[str, Any]) -> None:
    ends = time.monotonic() + 10
    while True:
        try:
            api.create(path, body)
            return
        except StatusError as error:
            if error.code != 404 or time.monotonic() > ends:
                raise
            time.sleep(0.02)


def _settled(fleet: WholeFleet, wait: float, park_after: float) -> float:
    """PSS once it no longer falls."""
    time.sleep(park_after * 2 + 2)
    best, ends = fleet.pss(), time.monotonic() + wait
    quiet = 0
    while quiet < 5 and time.monotonic() < ends:
        time.sleep(1)
        now = fleet.pss()
        quiet = quiet + 1 if now > best - 0.1 else 0
        best = min(best, now)
    return best


def _first_get(fleet: WholeFleet, name: str) -> float:
    """Seconds of a GET, connection and handshake included, that finds its cluster parked."""
    api = fleet.cluster(name)
    began = time.perf_counter()
    api.get("/api/v1/namespaces/shop/configmaps/settings")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
