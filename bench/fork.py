"""How fast clusters are forked, whatever their size.

In one fleet: from POST of a VirtualCluster with ``spec.from`` until the fork of a cluster with many objects has
answered its first GET and its first LIST (of all of them); until the fork of a small cluster is Ready; and what a
test's fixture costs on a small cluster: fork, first GET, delete, gone. The source is in use before each: one write.

Wanted, on ext4: ≤ 100 ms with 10,000 objects, ≤ 20 ms in the server for a small cluster, ≤ 60 ms for the fixture.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from support import objects, processes, report, whole_fleet
from support.whole_fleet import WholeFleet

from kloster.cli import clusters
from kloster.cli.hostapi import HostAPI

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def main() -> None:
    parser = whole_fleet.parser(__doc__)
    parser.add_argument("--forks", type=int, default=10, help="forks of each kind, per round")
    parser.add_argument("--objects", type=int, default=10_000, help="in the large cluster")
    given = parser.parse_args()
    print(processes.machine())
    turns = []
    for _ in range(given.rounds):
        with whole_fleet.started(given.directory, "--workers", str(given.workers)) as fleet:
            turns.append(_round(fleet, given.objects, given.forks))
    report.table(f"forking, medians of {given.forks} forks", {"kloster": turns})


def _round(fleet: WholeFleet, count: int, forks: int) -> dict[str, float]:
    for name in ("small", "large"):
        clusters.wait_ready(fleet.host, clusters.create(fleet.host, "default", name, {}))
    small, large = fleet.cluster("small"), fleet.cluster("large")
    _fill(fleet, count)
    time.sleep(2)
    answered = [_large(fleet, large, f"large-{number}", count) for number in range(forks)]
    ready, fixture = zip(*(_small(fleet, small, f"small-{number}") for number in range(forks)), strict=True)
    return {
        "large: ready ms": median(one[0] for one in answered) * 1000,
        "GET ms": median(one[1] for one in answered) * 1000,
        "and LIST ms": median(one[2] for one in answered) * 1000,
        "small: ready ms": median(ready) * 1000,
        "fixture ms": median(fixture) * 1000,
    }


def _fill(fleet: WholeFleet, count: int) -> None:
    def part(first: int) -> None:
        api = fleet.cluster("large")
        for number in range(first, count, 16):
            api.create(CONFIG_MAPS, objects.configmap(f"o-{number:06}", 1200))

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(part, range(16)))


def _touch(api: HostAPI) -> None:
    """The source is in use: its overlay holds something."""
    api.create(CONFIG_MAPS, objects.configmap(f"t-{time.monotonic_ns()}", 1200))


def _large(fleet: WholeFleet, source: HostAPI, name: str, count: int) -> tuple[float, float, float]:
    """Seconds from POST to Ready, to the answer to a GET, and to that to a LIST of everything."""
    _touch(source)
    began = time.perf_counter()
    clusters.wait_ready(fleet.host, clusters.create(fleet.host, "default", name, {"from": {"name": "large"}}))
    ready = time.perf_counter() - began
    api = fleet.cluster(name)
    assert api.get(f"{CONFIG_MAPS}/o-000000")["metadata"]["name"] == "o-000000"
    got = time.perf_counter() - began
    connection = api._connect(30)
    connection.request("GET", CONFIG_MAPS, headers=api._headers)
    text = connection.getresponse().read()
    listed = time.perf_counter() - began
    connection.close()
    assert text.count(b'"resourceVersion"') > count
    fleet.host.delete(clusters.path("default", name))
    clusters.wait_gone(fleet.host, "default", name)
    return ready, got, listed


def _small(fleet: WholeFleet, source: HostAPI, name: str) -> tuple[float, float]:
    """Seconds from POST to Ready; and of a whole fixture: fork, GET, delete, gone."""
    _touch(source)
    began = time.perf_counter()
    clusters.wait_ready(fleet.host, clusters.create(fleet.host, "default", name, {"from": {"name": "small"}}))
    ready = time.perf_counter() - began
    fleet.cluster(name).get("/api/v1/namespaces/kube-system")
    fleet.host.delete(clusters.path("default", name))
    clusters.wait_gone(fleet.host, "default", name)
    return ready, time.perf_counter() - began


if __name__ == "__main__":
    main()
