"""A cluster that nobody uses leaves memory, and comes back when somebody, something or its own clock needs it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from tests.fleet.world import World, config_map, eventually, exists, fleet, in_fleet, read, write

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.client import Client
from kloster.client.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, EVENTS, JOBS, NAMESPACES, PODS
from kloster.fleet.assembly import Assembled
from kloster.fleet.shard import Parking, Shard
from kloster.fleet.wish import Wish

THINGS = Resource("example.com", "v1", "things", "Thing", True)


def definition() -> Object:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [version],
        },
    }


def pod(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }


def event(name: str, namespace: str = "default") -> Object:
    about = {"kind": "Pod", "namespace": namespace, "name": "p"}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": about, "reason": "R"}


async def running(client: Client, name: str) -> None:
    async def so() -> bool:
        return bool((await client.get(PODS, "default", name))["status"].get("phase") == "Running")

    await eventually(so)


@in_fleet
async def test_nothing_of_a_parked_cluster_stays_in_memory(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    await write(client, "mine")
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition())
    awake = world.slot(cluster).cluster
    assert awake is not None
    traces = [weakref.ref(one) for one in (awake.served, awake.store, awake.attachments[0])]
    del awake
    slot = await world.park(cluster)
    gc.collect()
    assert [trace() for trace in traces] == [None] * 3
    assert slot.port == cluster["status"]["port"]
    assert not slot.site.holds_context
    assert (world.files(cluster) / "parked.json").exists()


@in_fleet
async def test_metrics_tell_what_a_cluster_holds(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    await write(client, "large", a="x" * 100_000)

    def holds() -> float:
        told = world.running.shared.metrics.exposition().decode()
        name = 'kloster_cluster_memory_bytes{cluster="default/dev"} '
        return float(told.partition(name)[2].partition("\n")[0])

    assert holds() > 100_000
    await world.park(cluster)
    assert holds() == 0
    await client.delete(CONFIG_MAPS, "default", "large")
    assert 0 < holds() < 100_000 + 100_000, "the log keeps it for a while"


@in_fleet
async def test_a_request_wakes_it_and_finds_everything(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    await write(client, "mine", a="1")
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition())
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "default"}}

    async def created() -> bool:
        try:
            await client.create(THINGS, thing)
        except StatusError as error:
            assert error.code == 404
            return False
        return True

    await eventually(created)
    before = await client.get(CONFIG_MAPS, "default", "mine")
    slot = await world.park(cluster)
    assert await client.get(CONFIG_MAPS, "default", "mine") == before
    assert slot.cluster is not None
    assert not (world.files(cluster) / "parked.json").exists()
    assert await exists(client, THINGS, "t", "default")
    newer = await write(client, "more")
    assert int(newer["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])


@in_fleet
async def test_many_requests_at_once_wake_it_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    await write(client, "mine", a="1")
    slot = await world.park(cluster)
    opened: list[Wish] = []
    bring = Shard.bring

    async def counted(shard: Shard, wish: Wish) -> Assembled:
        opened.append(wish)
        return await bring(shard, wish)

    monkeypatch.setattr(Shard, "bring", counted)
    found = await asyncio.gather(*(read(client, "mine") for _ in range(20)))
    assert found == [{"a": "1"}] * 20
    assert len(opened) == 1
    assert slot.busy == 0


@in_fleet
async def test_requests_while_it_is_being_parked_are_answered(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    slot = world.slot(cluster)
    for number in range(10):
        parking = asyncio.ensure_future(slot.park())
        await asyncio.sleep(0.002 * (number % 3))
        await write(client, f"n{number}")
        await parking
    names = {one["metadata"]["name"] for one in (await client.list(CONFIG_MAPS, "default")).items}
    assert {f"n{number}" for number in range(10)} <= names


@in_fleet
async def test_controllers_go_on_after_waking(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    await world.park(cluster)
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})

    async def account() -> bool:
        found = await client.json("GET", "/api/v1/namespaces/new/serviceaccounts")
        return [one["metadata"]["name"] for one in found["items"]] == ["default"]

    await eventually(account)


@in_fleet
async def test_pods_run_on_and_what_happens_to_them_wakes_it(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    await client.create(PODS, pod("web"))
    await running(client, "web")
    slot = await world.park(cluster)
    (host_pod,) = (await world.host.list(PODS, "vc-dev")).items
    assert host_pod["status"]["phase"] == "Running"
    await world.host.delete(PODS, "vc-dev", host_pod["metadata"]["name"], grace_period_seconds=0)

    async def awake() -> bool:
        return slot.cluster is not None

    await eventually(awake)

    async def replaced_or_gone() -> bool:
        found = [one["metadata"]["uid"] for one in (await world.host.list(PODS, "vc-dev")).items]
        return host_pod["metadata"]["uid"] not in found

    await eventually(replaced_or_gone)


@in_fleet
async def test_changes_elsewhere_on_the_host_do_not_wake_it(world: World) -> None:
    cluster = await world.create("dev")
    other = await world.create("other")
    client = await world.client("other")
    slot = await world.park(cluster)
    await client.create(PODS, pod("web"))
    await running(client, "web")
    await world.host.create(CONFIG_MAPS, config_map("unrelated"))
    assert slot.cluster is None
    assert world.slot(other).cluster is not None


@in_fleet
async def test_its_own_clock_wakes_it(world: World) -> None:
    """A finished Job with a time to live is deleted in time, although its cluster is parked."""
    cluster = await world.create("dev")
    client = await world.client("dev")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "job", "image": "job:1"}]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "brief", "namespace": "default"},
        "spec": {"ttlSecondsAfterFinished": 4, "template": template},
    }
    await client.create(JOBS, job)

    async def complete() -> bool:
        return bool((await client.get(JOBS, "default", "brief")).get("status", {}).get("succeeded"))

    await eventually(complete)
    slot = await world.park(cluster)

    async def awake() -> bool:
        return slot.cluster is not None

    await eventually(awake)

    async def deleted() -> bool:
        assert slot.cluster is not None
        return slot.cluster.source.get(JOBS, "default", "brief") is None

    await eventually(deleted)


def test_it_happens_without_being_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with fleet(tmp_path, park_after=0.2) as world:
            slot = world.slot(await world.create("dev"))

            async def parked() -> bool:
                return slot.cluster is None

            await eventually(parked)

    uvloop.run(asyncio.wait_for(body(), 60))


@in_fleet
async def test_events_that_expired_meanwhile_are_gone_when_it_wakes(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    await client.create(EVENTS, event("old"))
    slot = await world.park(cluster)
    world.shard.settings = replace(world.shard.settings, event_ttl=1.0)
    await asyncio.sleep(2.0)
    assert slot.cluster is None, "nothing is done for a cluster that nobody uses"
    assert (await client.list(EVENTS, "default")).items == []
    await client.create(EVENTS, event("new"))
    assert [one["metadata"]["name"] for one in (await client.list(EVENTS, "default")).items] == ["new"]


@in_fleet
async def test_events_of_clusters_in_use_expire(world: World) -> None:
    clusters = [world.slot(await world.create("dev")).cluster, world.running.host.cluster]
    for cluster in clusters:
        assert cluster is not None
        await cluster.client.create(EVENTS, event("old"))
        await cluster.forget_past()
        assert await exists(cluster.client, EVENTS, "old", "default")
        cluster.served.settings = replace(cluster.served.settings, event_ttl=-1.0)
        await cluster.forget_past()
        assert not await exists(cluster.client, EVENTS, "old", "default")


@pytest.mark.parametrize(
    ("change", "changed"),
    [(None, False), (config_map("new", "vc-dev"), True), (event("new", "vc-dev"), False)],
    ids=["nothing-happened", "something-happened-on-the-host", "events-come-and-go"],
)
def test_a_parked_cluster_stays_parked_over_a_restart_if_nothing_happened(
    tmp_path: Path, change: Object | None, changed: bool
) -> None:
    async def body() -> None:
        async with fleet(tmp_path) as world:
            cluster = await world.create("dev")
            await write(await world.client("dev"), "mine", a="1")
            connection = await world.connection("dev")
            await world.park(cluster)
            if change is not None:
                await world.shard.close()
                await world.host.create(CONFIG_MAPS if changed else EVENTS, change)
        async with fleet(tmp_path) as world:
            slot = world.slot(await world.get("dev"))
            assert (slot.cluster is not None) is changed
            assert await read(world.connect(connection), "mine") == {"a": "1"}

    uvloop.run(asyncio.wait_for(body(), 60))


def test_what_was_due_while_the_process_was_down_is_due_at_the_start(tmp_path: Path) -> None:
    async def body() -> None:
        async with fleet(tmp_path) as world:
            cluster = await world.create("dev")
            await world.park(cluster)
            note = world.files(cluster) / "parked.json"
            note.write_text(note.read_text().replace('"due": null', '"due": 1.0'))
            assert '"due": 1.0' in note.read_text()
        async with fleet(tmp_path) as world:
            slot = world.slot(await world.get("dev"))

            async def awake() -> bool:
                return slot.cluster is not None

            await eventually(awake)

    uvloop.run(asyncio.wait_for(body(), 60))


@in_fleet
async def test_a_parked_cluster_whose_file_is_damaged_is_reported_and_others_are_served(world: World) -> None:
    cluster, other = await world.create("dev"), await world.create("other")
    client = await world.client("dev")
    await world.park(cluster)
    (world.files(cluster) / "store.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StatusError, match="the cluster cannot be opened") as caught:
        await read(client, "mine")
    assert caught.value.code == 503
    reason, message = await world.refused("dev")
    assert reason == "StoreBroken"
    assert "is damaged or no Kloster store" in message
    await write(await world.client("other"), "mine")
    assert (await world.get("other"))["status"] == other["status"]
    await world.delete("dev")


@in_fleet
async def test_a_parked_cluster_can_be_deleted(world: World) -> None:
    cluster = await world.create("dev")
    await world.park(cluster)
    await world.delete("dev")
    assert not world.files(cluster).exists()


@in_fleet
async def test_there_is_room_for_so_many_and_the_longest_idle_leave_first(world: World) -> None:
    clusters = [await world.create(f"c{number}") for number in range(3)]
    slots = [world.slot(cluster) for cluster in clusters]
    shard = world.shard
    shard.parking = Parking(after=1000.0, room=1, hurry=0.05)

    async def all_idle() -> bool:
        return all(slot.is_idle(shard.clock.monotonic(), 0.3) for slot in slots)

    await eventually(all_idle)  # what is busy yet is not parked, and another leaves in its place
    for slot, ago in zip(slots, (20.0, 5.0, 10.0), strict=True):
        slot.used = shard.clock.monotonic() - ago
    await shard.park_idle(1000.0)
    assert slots[1].cluster is not None
