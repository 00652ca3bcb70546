"""LIST of 10,000 objects of 2 KB, and how an informer starts on them: in pages of 500, or as one streamed list.

whole      one answer, 20 MB
pages      limit=500, twenty requests (client-go's default when its cache must be exact)
streamed   watch with sendInitialEvents until the bookmark that ends the list (client-go since 1.35)
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from urllib.parse import quote

import uvloop
from support import arguments, objects, report, streams
from support.contender import contenders
from support.tenant import Tenant, tenant

_INITIAL = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
_ANNOTATION = b'"k8s.io/initial-events-end":"true"'
_CONTINUE = re.compile(rb'"continue":"([^"]+)"')


def main() -> None:
    given = arguments.parse(__doc__ or "", rounds=5)
    with contenders(given) as found, ExitStack() as stack:
        os.sched_setaffinity(0, given.load_cpus)
        tenants = [stack.enter_context(tenant(one)) for one in found]
        for one in tenants:
            objects.fill(one, given.objects)
        for title, reading in (("whole", _whole), ("pages", _pages), ("streamed", _streamed)):
            turns: dict[str, list[dict[str, float]]] = {one.contender.name: [] for one in tenants}
            for _ in range(given.rounds):
                for one in tenants:
                    turns[one.contender.name].append(uvloop.run(_turn(one, reading)))
            report.table(f"list of {given.objects} objects of 2 KB: {title}", turns)


async def _turn(one: Tenant, reading: Callable[[Tenant], Awaitable[tuple[int, float]]]) -> dict[str, float]:
    before = one.contender.cpu_seconds()
    size, seconds = await reading(one)
    await asyncio.sleep(0.05)
    return {"seconds": seconds, "cpu s": one.contender.cpu_seconds() - before, "MB": size / 1e6}


async def _whole(one: Tenant) -> tuple[int, float]:
    data, seconds = await streams.fetched(one, streams.tls(one), one.configmaps)
    return len(data), seconds


async def _pages(one: Tenant) -> tuple[int, float]:
    total, elapsed, position = 0, 0.0, b""
    while True:
        path = f"{one.configmaps}?limit=500" + (f"&continue={quote(position)}" if position else "")
        data, seconds = await streams.fetched(one, streams.tls(one), path)
        total, elapsed = total + len(data), elapsed + seconds
        found = _CONTINUE.search(data, 0, 4096)
        if found is None:
            return total, elapsed
        position = found[1]


async def _streamed(one: Tenant) -> tuple[int, float]:
    data, seconds = await streams.fetched(one, streams.tls(one), f"{one.configmaps}?{_INITIAL}", _ANNOTATION)
    return len(data), seconds


if __name__ == "__main__":
    main()
