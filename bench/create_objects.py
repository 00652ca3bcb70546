"""Durable creates of small objects: 64 connections, fsync on, a user who is no administrator.

Wanted: at least as many as a real kube-apiserver with etcd in the same run, on the same processors.
"""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path

import orjson
from support import arguments, objects, report, wrk
from support.contender import contenders
from support.tenant import Tenant, tenant

SIZE = 1024


def main() -> None:
    given = arguments.parse(__doc__ or "")
    with contenders(given) as found, ExitStack() as stack:
        tenants = [stack.enter_context(tenant(one)) for one in found]
        turns: dict[str, list[dict[str, float]]] = {one.contender.name: [] for one in tenants}
        for _ in range(given.rounds):
            for one in tenants:
                turns[one.contender.name].append(_turn(one, given))
        report.table(f"durable creates of {SIZE} B ConfigMaps, wrk -t1 -c64", turns)


def _turn(one: Tenant, given: arguments.Arguments) -> dict[str, float]:
    environment = {
        "BENCH_LUA": str(Path(wrk.__file__).parent),
        "BENCH_TOKEN": one.token,
        "BENCH_PATH": one.configmaps,
        "BENCH_RUN": f"n{uuid.uuid4().hex[:8]}",
        "BENCH_BODY": orjson.dumps(objects.configmap("@", SIZE)).decode(),
    }
    turn = wrk.run(one.contender, "create.lua", environment, seconds=given.seconds, cpus=given.load_cpus)
    return {"creates/s": turn.rate, "cpu µs": turn.cpu, "median ms": turn.median, "p99 ms": turn.p99,
            "errors": turn.errors}  # fmt: skip


if __name__ == "__main__":
    main()
