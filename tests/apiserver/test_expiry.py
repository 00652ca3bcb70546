"""Events are kept for an hour after their last write, in both groups, and watches are told when they go."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.apiserver.world import Api, on_cluster

from kloster.aio.clock import VirtualClock
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.expiry import expire_events

EVENTS = "/api/v1/namespaces/n/events"
NEW_EVENTS = "/apis/events.k8s.io/v1/namespaces/n/events"
ABOUT = {"kind": "Pod", "namespace": "n", "name": "p"}


def core(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "involvedObject": ABOUT, "reason": "R", "message": "m", **more}


def new(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "regarding": ABOUT,
        "reason": "R",
        "type": "Normal",
        "action": "A",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/c",
        "reportingInstance": "i",
    }


async def names(api: Api) -> list[str]:
    return [item["metadata"]["name"] for item in (await api.ok("GET", EVENTS))["items"]]


def later(cluster: ServedCluster) -> VirtualClock:
    clock = VirtualClock(start=cluster.clock.now())
    cluster.clock = clock
    return clock


def test_they_go_an_hour_after_their_last_write() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        clock = later(cluster)
        for name in ("a", "b"):
            await api.ok("POST", EVENTS, core(name))
        await api.ok("POST", NEW_EVENTS, new("c"))
        await clock.advance(1800)
        await api.ok("PATCH", f"{EVENTS}/a", {"count": 2})
        await api.ok("POST", EVENTS, core("d"))
        await clock.advance(1799)
        assert await expire_events(cluster) == 0
        await clock.advance(2)
        assert await expire_events(cluster) == 2
        assert await names(api) == ["a", "d"]
        await clock.advance(1800)
        assert await expire_events(cluster) == 2
        assert await names(api) == []

    on_cluster(body)


@pytest.mark.parametrize("collection", [EVENTS, NEW_EVENTS], ids=["core", "events.k8s.io"])
def test_watches_see_them_deleted_at_a_newer_version(collection: str) -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        clock = later(cluster)
        made = await api.ok("POST", EVENTS, core("a"))
        answer = await api.send("GET", f"{collection}?watch=1&resourceVersion={made['metadata']['resourceVersion']}")
        assert answer.stream is not None
        await clock.advance(3601)
        assert await expire_events(cluster) == 1
        event = orjson.loads(await anext(answer.stream))
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "a")
        assert int(event["object"]["metadata"]["resourceVersion"]) == cluster.store.revision
        assert event["object"]["metadata"]["uid"] == made["metadata"]["uid"]

    on_cluster(body)


def test_what_events_say_of_their_age_does_not_count() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        clock = later(cluster)
        await api.ok("POST", EVENTS, core("old", lastTimestamp="2001-01-01T00:00:00Z"))
        await api.ok("POST", EVENTS, core("future", lastTimestamp="2099-01-01T00:00:00Z"))
        assert await expire_events(cluster) == 0
        await clock.advance(3601)
        assert await expire_events(cluster) == 2

    on_cluster(body)


def test_one_that_is_written_meanwhile_stays() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        clock = later(cluster)
        await api.ok("POST", EVENTS, core("a"))
        await clock.advance(3601)
        before = cluster.store.revision
        write = asyncio.ensure_future(api.send("PATCH", f"{EVENTS}/a", {"count": 2}))
        await asyncio.sleep(0)
        assert cluster.store.revision == before, "the write is decided and not yet to be seen"
        assert await expire_events(cluster) == 0
        assert (await write).status == 200
        assert await names(api) == ["a"]

    on_cluster(body)


def test_very_many_go_in_batches() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        clock = later(cluster)
        for number in range(1100):
            await api.ok("POST", EVENTS, core(f"e{number}"))
        await clock.advance(3601)
        await api.ok("POST", EVENTS, core("young"))
        assert await expire_events(cluster) == 1100
        assert await names(api) == ["young"]

    on_cluster(body)
