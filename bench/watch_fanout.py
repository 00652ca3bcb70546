"""One change, a thousand watchers: how long until the last one has it, and what a delivery costs the server.

Each watcher is a TLS connection of its own, as client-go makes them. Changes come one after the other, 5 a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack

import orjson
import uvloop
from support import arguments, objects, report, streams
from support.contender import contenders
from support.tenant import Tenant, tenant

from kloster.client import kubeconfig
from kloster.client.http import HttpTransport
from kloster.client.transport import Request

WATCHERS = 1000
CHANGES_PER_SECOND = 5
CONNECTING_AT_ONCE = 20


def main() -> None:
    given = arguments.parse(__doc__ or "", seconds=6.0)
    with contenders(given) as found, ExitStack() as stack:
        os.sched_setaffinity(0, given.load_cpus)
        tenants = [stack.enter_context(tenant(one)) for one in found]
        turns: dict[str, list[dict[str, float]]] = {one.contender.name: [] for one in tenants}
        for _ in range(given.rounds):
            for one in tenants:
                turns[one.contender.name].append(uvloop.run(_turn(one, given)))
        report.table(f"one change to {WATCHERS} watchers", turns)


async def _turn(one: Tenant, given: arguments.Arguments) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    context = streams.tls(one)
    left = 0
    complete = loop.create_future()

    def received(data: bytes) -> None:
        nonlocal left
        left -= data.count(b'"type":"ADDED"')
        if left <= 0 and not complete.done():
            complete.set_result(time.perf_counter())

    version = one.contender.api.get(one.configmaps, limit="1")["metadata"]["resourceVersion"]
    path = f"{one.configmaps}?watch=true&resourceVersion={version}&timeoutSeconds=600"
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect() -> streams.Stream:
        async with gate:
            return await streams.opened(one, context, path, received)

    connecting = one.contender.cpu_seconds()
    watchers = await asyncio.gather(*(connect() for _ in range(WATCHERS)))
    await asyncio.sleep(1)
    before = one.contender.cpu_seconds()
    delays, changes = [], int(given.seconds * CHANGES_PER_SECOND)
    connection = kubeconfig.connection(one.contender.token_kubeconfig(one.token))
    async with HttpTransport(connection) as transport:
        for _ in range(changes):
            left, complete = WATCHERS, loop.create_future()
            began = time.perf_counter()
            body = orjson.dumps(objects.configmap(f"w-{time.time_ns()}", 2048))
            answer = await transport(
                Request("POST", one.configmaps, headers={"content-type": "application/json"}, body=body)
            )
            assert answer.status == 201, answer.body
            async with asyncio.timeout(30):
                delays.append(await complete - began)
            await asyncio.sleep(max(0.0, 1 / CHANGES_PER_SECOND - (time.perf_counter() - began)))
    used = one.contender.cpu_seconds() - before
    for watcher in watchers:
        watcher.close()
    await asyncio.sleep(0.5)
    delays.sort()
    return {
        "median ms": delays[len(delays) // 2] * 1000,
        "worst ms": delays[-1] * 1000,
        "cpu µs/delivery": used * 1e6 / (changes * WATCHERS),
        "cpu ms/watch opened": (before - connecting) * 1000 / WATCHERS,
    }


if __name__ == "__main__":
    main()
