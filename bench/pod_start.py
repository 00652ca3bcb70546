"""Pod created in a virtual cluster → seen Running there, at 50 pods a second on simulated nodes.

The way: API server of the virtual cluster, syncer, API server of the host, scheduler, node agent, and its status back
through the syncer. The load is open: a pod is due every 20 ms whatever the earlier ones do, and its time runs from
when it was due until the tenant's watch shows it Running. No peer: a kube-apiserver alone starts no pods.

Processor time is that of everything that a pod causes, so it is counted until the process has come to rest: events are
written after what they are about.

Wanted: 99th percentile ≤ 150 ms.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack, suppress

import orjson
import uvloop
from support import arguments, objects, report, streams
from support.contender import Contender, contenders
from support.tenant import Tenant, tenant

from kloster.client import kubeconfig
from kloster.client.http import HttpTransport
from kloster.client.transport import Request

PODS_PER_SECOND = 50
NODES = 40
GRACE = 20.0
REST = 0.5
"""Seconds of a process at rest: it uses less than a tenth of a processor."""


def main() -> None:
    given = arguments.parse(__doc__ or "", seconds=10.0)
    turns: list[dict[str, float]] = []
    for _ in range(given.rounds):
        with contenders(given, nodes=NODES) as found, ExitStack() as stack:
            os.sched_setaffinity(0, given.load_cpus)
            turns.append(uvloop.run(_turn(stack.enter_context(tenant(found[0])), given)))
    report.table(f"pod created → Running seen, {PODS_PER_SECOND} pods/s, {NODES} nodes", {"kloster": turns})


async def _turn(one: Tenant, given: arguments.Arguments) -> dict[str, float]:
    count = int(given.seconds * PODS_PER_SECOND)
    due: dict[str, float] = {}
    seen: dict[str, float] = {}
    complete = asyncio.Event()
    rest = b""

    def received(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        now = time.perf_counter()
        for line in lines:
            if b'"phase":"Running"' in line:
                name = orjson.loads(line)["object"]["metadata"]["name"]
                seen.setdefault(name, now)
        if len(seen) == count:
            complete.set()

    await _account_ready(one.contender, one.namespace)
    watch = await streams.opened(one, streams.tls(one), f"{one.pods}?watch=true&timeoutSeconds=600", received)
    before = one.contender.cpu_seconds()
    connection = kubeconfig.connection(one.contender.token_kubeconfig(one.token))
    async with HttpTransport(connection) as transport, asyncio.TaskGroup() as group:

        async def create(name: str) -> None:
            body = orjson.dumps(objects.pod(name))
            answer = await transport(Request("POST", one.pods, headers={"content-type": "application/json"}, body=body))
            if answer.status != 201:
                raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")

        began = time.perf_counter()
        for number in range(count):
            moment = began + number / PODS_PER_SECOND
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            due[f"p-{number}"] = moment
            group.create_task(create(f"p-{number}"))
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await complete.wait()
    used = await _rest(one.contender) - before
    watch.close()
    delays = sorted(seen[name] - moment for name, moment in due.items() if name in seen)
    if not delays:
        raise RuntimeError("no pod was seen Running")
    return {
        "median ms": delays[len(delays) // 2] * 1000,
        "p99 ms": delays[min(len(delays) - 1, int(len(delays) * 0.99))] * 1000,
        "not running": count - len(delays),
        "cpu ms/pod": used * 1000 / count,
    }


async def _rest(contender: Contender) -> float:
    """Waits until the process has come to rest. Returns its processor seconds."""
    last = contender.cpu_seconds()
    for _ in range(int(GRACE / REST)):
        await asyncio.sleep(REST)
        now = contender.cpu_seconds()
        if now - last < REST / 10:
            return now
        last = now
    return last


async def _account_ready(contender: Contender, namespace: str) -> None:
    """Pods are refused until their namespace has its default service account."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    for _ in range(100):
        found = await asyncio.to_thread(contender.api.get, path)
        if any(item["metadata"]["name"] == "default" for item in found["items"]):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"namespace {namespace} got no service account")


if __name__ == "__main__":
    main()
