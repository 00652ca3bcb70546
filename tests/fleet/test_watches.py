"""Open watches outlast the parking of their cluster, miss nothing and see nothing twice."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
import pytest
from tests.fleet.world import World, eventually, in_fleet, write

from kloster.apimachinery import Object
from kloster.apiserver import watch as watches
from kloster.client.client import Client
from kloster.client.resources import CONFIG_MAPS
from kloster.client.transport import Request, Response, User
from kloster.fleet.slot import Slot

ADMINISTRATOR = User("admin", groups=("system:masters", "system:authenticated"))


async def begin(world: World, cluster: Object, user: User = ADMINISTRATOR, **query: str) -> Response:
    """A watch of the ConfigMaps of `default`, asked for within the process."""
    asked = [("watch", "true"), *query.items()]
    slot = world.slot(cluster)
    answer = slot(Request("GET", "/api/v1/namespaces/default/configmaps", asked, user=user))
    response = answer if isinstance(answer, Response) else await answer
    assert response.stream is not None, response.body
    return response


async def lines(response: Response) -> AsyncIterator[tuple[str, Any]]:
    assert response.stream is not None
    async for chunk in response.stream:
        for line in chunk.splitlines():
            event = orjson.loads(line)
            yield event["type"], event["object"]


async def revision(client: Client) -> str:
    return (await client.list_all(CONFIG_MAPS, "default")).resource_version


async def watched(slot: Slot) -> None:
    async def so() -> bool:
        return bool(slot.watches)

    await eventually(so)


async def soon(events: AsyncIterator[tuple[str, Any]]) -> tuple[str, Any]:
    async with asyncio.timeout(20):
        return await anext(events)


@in_fleet
async def test_a_watch_goes_on_over_many_parkings(world: World) -> None:
    """Over TLS, as a client sees it: every change once, in order, whoever made it."""
    cluster = await world.create("dev")
    client = await world.client("dev")
    slot, names = world.slot(cluster), list[str]()
    async with aclosing(client.watch(CONFIG_MAPS, "default", resource_version=await revision(client))) as watch:
        for number in range(4):
            next_one = asyncio.ensure_future(anext(watch))
            await watched(slot)
            await world.park(cluster)
            assert len(slot.watches) == 1
            await write(client, f"n{number}")
            names.append((await asyncio.wait_for(next_one, 20)).object["metadata"]["name"])
            assert slot.cluster is not None
    assert names == ["n0", "n1", "n2", "n3"]

    async def left() -> bool:
        return not slot.watches

    await eventually(left)


@in_fleet
async def test_what_happened_before_is_not_shown_again(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    for query in ({}, {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}):
        response = await begin(world, cluster, allowWatchBookmarks="true", **query)
        async with aclosing(lines(response)) as events:
            while (await soon(events))[1]["metadata"].get("name") != "kube-root-ca.crt":
                pass
            if query:
                assert (await soon(events))[0] == "BOOKMARK"
            waiting = asyncio.ensure_future(anext(events))
            await world.park(cluster)
            name = f"after-{len(query)}"
            await write(client, name)
            kind, item = await asyncio.wait_for(waiting, 20)
            assert (kind, item["metadata"]["name"]) == ("ADDED", name)


@in_fleet
async def test_a_selection_is_kept(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    for name in ("mine", "yours"):
        await write(client, name)
    response = await begin(world, cluster, fieldSelector="metadata.name=mine", resourceVersion=await revision(client))
    events = lines(response)
    waiting = asyncio.ensure_future(anext(events))
    await world.park(cluster)
    for name in ("yours", "mine"):
        await client.patch(CONFIG_MAPS, "default", name, {"data": {"a": "b"}})
    kind, item = await asyncio.wait_for(waiting, 20)
    assert (kind, item["metadata"]["name"], item["data"]) == ("MODIFIED", "mine", {"a": "b"})
    await client.delete(CONFIG_MAPS, "default", "mine")
    assert (await soon(events))[0] == "DELETED"


@in_fleet
async def test_bookmarks_and_the_end_come_without_waking_it(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    now = await revision(client)
    response = await begin(world, cluster, resourceVersion=now, allowWatchBookmarks="true", timeoutSeconds="4")
    told: list[tuple[str, Any]] = []

    async def listen() -> None:
        told.extend([event async for event in lines(response)])

    listening = asyncio.ensure_future(listen())
    slot = await world.park(cluster)
    await asyncio.wait_for(listening, 20)
    assert slot.cluster is None, "it was not woken"
    assert [kind for kind, _ in told] == ["BOOKMARK"]
    assert int(told[0][1]["metadata"]["resourceVersion"]) >= int(now)
    assert not slot.watches


@in_fleet
async def test_bookmarks_are_repeated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "BOOKMARK_INTERVAL", 0.4)
    cluster = await world.create("dev")
    now = await revision(await world.client("dev"))
    response = await begin(world, cluster, resourceVersion=now, allowWatchBookmarks="true")
    events = lines(response)
    first = asyncio.ensure_future(anext(events))
    slot = await world.park(cluster)
    kinds = [(await asyncio.wait_for(first, 20))[0], *[(await soon(events))[0] for _ in range(3)]]
    assert kinds == ["BOOKMARK"] * 4
    assert slot.cluster is None
    await events.aclose()  # type: ignore[attr-defined]


@in_fleet
async def test_nothing_of_the_cluster_is_kept_for_a_watch(world: World) -> None:
    cluster = await world.create("dev")
    response = await begin(world, cluster, allowWatchBookmarks="true")
    events = lines(response)
    await soon(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    awake = world.slot(cluster).cluster
    assert awake is not None
    traces = [weakref.ref(one) for one in (awake.served, awake.store)]
    del awake
    await world.park(cluster)
    await asyncio.sleep(0.05)
    gc.collect()
    assert [trace() for trace in traces] == [None, None]
    waiting.cancel()


@in_fleet
async def test_who_may_no_longer_watch_is_cut_off(world: World) -> None:
    cluster = await world.create("dev")
    admin = await world.client("dev")
    robot = User("system:serviceaccount:default:robot", groups=("system:serviceaccounts", "system:authenticated"))
    slot = world.slot(cluster)
    response = await begin(world, cluster)
    events = lines(response)
    await soon(events)
    waiting = asyncio.ensure_future(anext(events))
    await world.park(cluster)
    (watch,) = slot.watches
    watch._request.user = robot  # as if whoever it was had lost their rights meanwhile
    await write(admin, "secret")
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 20)
    assert not slot.watches


@in_fleet
async def test_a_watch_that_is_behind_keeps_the_cluster_awake(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    response = await begin(world, cluster)
    await write(client, "unread")
    await asyncio.sleep(0.2)
    await world.shard.park_idle(0.0)
    slot = world.slot(cluster)
    assert slot.cluster is not None, "the peer has not read what there was at the beginning"
    events = lines(response)
    assert {(await soon(events))[1]["metadata"]["name"] for _ in range(2)} == {"kube-root-ca.crt", "unread"}
    waiting = asyncio.ensure_future(anext(events))
    await world.park(cluster)
    waiting.cancel()


@in_fleet
async def test_deleting_a_parked_cluster_ends_its_watches(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    async with aclosing(client.watch(CONFIG_MAPS, "default", resource_version=await revision(client))) as watch:
        waiting = asyncio.ensure_future(anext(watch, None))
        await watched(world.slot(cluster))
        await world.park(cluster)
        await world.delete("dev")
        assert await asyncio.wait_for(waiting, 20) is None
