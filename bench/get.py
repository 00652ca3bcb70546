"""GET of 2 KB objects over TLS: random keys, a user who is no administrator, 64 connections, one core.

    make bench, or: python bench/get.py --peer-kubeconfig admin.conf --peer-pid 12 --peer-pid 13

Wanted: 20,000/s on one core.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from support import arguments, objects, report, wrk
from support.contender import contenders
from support.tenant import Tenant, tenant


def main() -> None:
    given = arguments.parse(__doc__ or "")
    with contenders(given) as found, ExitStack() as stack:
        tenants = [stack.enter_context(tenant(one)) for one in found]
        for one in tenants:
            objects.fill(one, given.objects)
        turns: dict[str, list[dict[str, float]]] = {one.contender.name: [] for one in tenants}
        for _ in range(given.rounds):
            for one in tenants:
                turns[one.contender.name].append(_turn(one, given))
        report.table(f"GET of 2 KB objects, {given.objects} of them, wrk -t1 -c64", turns)


def _turn(one: Tenant, given: arguments.Arguments) -> dict[str, float]:
    environment = {
        "BENCH_LUA": str(Path(wrk.__file__).parent),
        "BENCH_TOKEN": one.token,
        "BENCH_PATH": one.configmaps,
        "BENCH_COUNT": str(given.objects),
        "BENCH_ACCEPT": "application/json",
    }
    turn = wrk.run(one.contender, "get.lua", environment, seconds=given.seconds, cpus=given.load_cpus)
    return {"requests/s": turn.rate, "cpu µs": turn.cpu, "median ms": turn.median, "p99 ms": turn.p99,
            "errors": turn.errors}  # fmt: skip


if __name__ == "__main__":
    main()
