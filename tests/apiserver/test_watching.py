"""Watches: the stream itself, what a slow or late reader gets, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.apiserver import world
from tests.apiserver.world import Api, on_cluster

from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.watch import WatchStream
from kloster.stores.broadcast import LogLimits
from kloster.stores.memory import MemoryStore

MAPS = "/api/v1/namespaces/n/configmaps"


async def begin(api: Api, query: str = "") -> AsyncIterator[bytes]:
    answer = await api.send("GET", f"{MAPS}?watch=1{query}")
    assert answer.stream is not None, answer.body
    return answer.stream


async def following(stream: AsyncIterator[bytes]) -> list[tuple[str, str]]:
    """(type, name) of the next chunk's events."""
    chunk = await asyncio.wait_for(anext(stream), 5)
    events = [orjson.loads(line) for line in chunk.splitlines()]
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def test_changes_arrive_in_order_and_each_once() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        stream = await begin(api, f"&resourceVersion={cluster.store.revision}")
        pending = asyncio.ensure_future(following(stream))
        await asyncio.sleep(0)
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        assert await pending == [("ADDED", "a")]
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "v"}})
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "v"}})
        await api.ok("DELETE", f"{MAPS}/a")
        assert await following(stream) == [("MODIFIED", "a"), ("DELETED", "a")]

    on_cluster(body)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [({"x": "1"}, "MODIFIED"), ({"x": "2"}, "DELETED"), ({"x": None}, "DELETED")],
    ids=["stays", "leaves", "loses-label"],
)
def test_leaving_a_selection_is_a_deletion(labels: dict[str, str | None], expected: str) -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a", "labels": {"x": "1"}}})
        stream = await begin(api, "&labelSelector=x%3D1")
        assert await following(stream) == [("ADDED", "a")]
        await api.ok("PATCH", f"{MAPS}/a", {"metadata": {"labels": labels, "annotations": {"n": "m"}}})
        assert await following(stream) == [(expected, "a")]

    on_cluster(body)


def test_a_reader_behind_the_log_is_cut_off_without_an_error() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        stream = await begin(api, f"&resourceVersion={cluster.store.revision}")
        for number in range(5):
            await api.ok("POST", MAPS, {"metadata": {"name": f"m{number}"}})
        cluster.store.compact(cluster.store.revision)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 5)

    on_cluster(body)


def test_a_forgotten_version_is_told_as_410_in_the_stream() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        before = cluster.store.revision
        for number in range(30):
            await api.ok("POST", MAPS, {"metadata": {"name": f"m{number}"}})
        answer = await api.send("GET", f"{MAPS}?watch=1&resourceVersion={before}")
        assert answer.status == 200
        event = orjson.loads(answer.body)
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert event["object"]["message"].startswith(f"too old resource version: {before} (")

    on_cluster(body, MemoryStore(limits=LogLimits(events=10)))


def test_closing_lets_go_of_the_log() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        stream = await begin(api)
        assert isinstance(stream, WatchStream)
        await following(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 5)
        await api.ok("POST", MAPS, {"metadata": {"name": "late"}})

    on_cluster(body)


def test_a_watch_ends_with_its_time_and_tells_its_progress_before() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        now = cluster.store.revision
        stream = await begin(api, f"&resourceVersion={now}&timeoutSeconds=3&allowWatchBookmarks=true")
        await api.ok("POST", "/api/v1/namespaces/n/secrets", {"metadata": {"name": "elsewhere"}})
        chunk = await asyncio.wait_for(anext(stream), 5)
        event = orjson.loads(chunk)
        assert (event["type"], event["object"]["metadata"]) == ("BOOKMARK", {"resourceVersion": str(now + 1)})
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 5)

    on_cluster(body)


def test_each_form_encodes_the_same_events() -> None:
    accept: dict[str, Any] = {
        "table": "application/json;as=Table;v=v1;g=meta.k8s.io",
        "metadata": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    }

    async def body(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        revision = cluster.store.revision
        await api.ok("DELETE", f"{MAPS}/a")
        for name, header in accept.items():
            answer = await api.send(
                "GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={revision}", headers={"accept": header}
            )
            event = orjson.loads(await world.read(answer))
            shown = event["object"]["rows"][0]["object"] if name == "table" else event["object"]
            assert (event["type"], shown["kind"]) == ("DELETED", "PartialObjectMetadata")
            assert shown["metadata"]["resourceVersion"] == str(revision + 1)

    on_cluster(body)
