"""Forks go back to the state at their fork."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop
from tests.fleet.test_fork import layers, of, phase, pod, token, until_running
from tests.fleet.world import World, eventually, exists, fleet, in_fleet, read, write

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import CONFIG_MAPS, NAMESPACES, PODS
from kloster.fleet.lifecycle.reset import STEP
from kloster.fleet.virtualcluster import RESET, VIRTUAL_CLUSTERS, condition, is_ready


async def reset(world: World, name: str, token: str = "1") -> Object:
    patch = {"metadata": {"annotations": {RESET: token}}}
    await world.host.patch(VIRTUAL_CLUSTERS, "default", name, patch)

    def done(cluster: Object) -> bool:
        return cluster["status"].get("reset") == token and is_ready(cluster)

    return await world.until(name, so=done)


@in_fleet
async def test_everything_is_as_it_was_forked(world: World) -> None:
    await world.create("dev")
    await write(await world.client("dev"), "before", of="source")
    fork = await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    system = await branch.get(NAMESPACES, "", "kube-system")
    issued = await token(branch)
    await write(branch, "after")
    await branch.delete(CONFIG_MAPS, "default", "before")
    highest = int((await branch.list(CONFIG_MAPS)).resource_version)
    again = await reset(world, "branch")
    assert again["status"]["port"] == fork["status"]["port"]
    assert await read(branch, "before") == {"of": "source"}
    assert not await exists(branch, CONFIG_MAPS, "after", "default")
    assert (await branch.get(NAMESPACES, "", "kube-system"))["metadata"]["uid"] == system["metadata"]["uid"]
    listed = await branch.list(CONFIG_MAPS)
    assert int(listed.resource_version) > highest + STEP, "resourceVersions never go back"
    made = await write(branch, "after")
    assert int(made["metadata"]["resourceVersion"]) > highest + STEP
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": issued}}
    answer = await branch.json("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=review)
    assert answer["status"]["authenticated"], "its keys are those that it had"


@in_fleet
async def test_watches_end_and_what_is_older_than_the_reset_is_gone(world: World) -> None:
    await world.create("dev", controllers=[])
    await world.create("branch", controllers=[], **of("dev"))
    branch = await world.client("branch")
    old = (await branch.list(CONFIG_MAPS)).resource_version

    async def follow() -> None:
        async for _ in branch.watch(CONFIG_MAPS, resource_version=old):
            pass

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    await reset(world, "branch")
    done, _ = await asyncio.wait([following], timeout=10)
    assert done
    following.exception()
    with pytest.raises(StatusError) as caught:
        async for _ in branch.watch(CONFIG_MAPS, resource_version=old):
            pass
    assert caught.value.code == 410


@in_fleet
async def test_host_pods_of_the_old_state_go_and_those_of_the_fork_start(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    await dev.create(PODS, pod("web"))
    await until_running(dev, "web")
    await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    first = await until_running(branch, "web")
    await branch.create(PODS, pod("more"))
    await until_running(branch, "more")
    old = {one["metadata"]["uid"] for one in (await world.host.list(PODS, "vc-branch")).items}
    assert len(old) == 2
    await reset(world, "branch")
    second = await until_running(branch, "web")
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    now = {one["metadata"]["uid"] for one in (await world.host.list(PODS, "vc-branch")).items}
    assert len(now) == 1
    assert not now & old
    assert not await exists(branch, PODS, "more", "default")
    assert await phase(dev, "web") == "Running"


@in_fleet
async def test_forks_of_a_fork_survive_its_reset_and_its_own_layers_go(world: World) -> None:
    await world.create("dev", controllers=[])
    await write(await world.client("dev"), "of-dev")
    branch = await world.create("branch", controllers=[], **of("dev"))
    client = await world.client("branch")
    for number in range(3):
        await write(client, f"of-branch-{number}")
        await world.create(f"twig-{number}", controllers=[], **of("branch"))
        await reset(world, "branch", str(number))
        assert not await exists(client, CONFIG_MAPS, f"of-branch-{number}", "default")
        assert await exists(client, CONFIG_MAPS, "of-dev", "default")
    await world.park(branch)
    await reset(world, "branch", "parked")
    for number in range(3):
        assert await exists(await world.client(f"twig-{number}"), CONFIG_MAPS, f"of-branch-{number}", "default")
    assert len(layers(world)) == 4
    for number in range(3):
        await world.delete(f"twig-{number}")
    assert len(layers(world)) == 1
    assert len(list(world.files(branch).glob("*.db"))) == 1


@in_fleet
async def test_what_is_no_fork_is_not_reset(world: World) -> None:
    await world.create("dev")
    client = await world.client("dev")
    await write(client, "mine")
    patch = {"metadata": {"annotations": {RESET: "1"}}}
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "dev", patch)

    def told(cluster: Object) -> bool:
        accepted = condition(cluster, "Accepted")
        return accepted is not None and accepted["reason"] == "NoFork"

    assert is_ready(await world.until("dev", so=told))
    assert await exists(client, CONFIG_MAPS, "mine", "default")


def test_a_reset_is_done_once(tmp_path: Path) -> None:
    """Not again after a restart, and not for an annotation that was there when the fork was made."""

    async def before() -> None:
        async with fleet(tmp_path / "data") as world:
            await world.create("dev", controllers=[])
            body = {
                "apiVersion": "kloster.dev/v1alpha1",
                "kind": "VirtualCluster",
                "metadata": {"name": "branch", "namespace": "default", "annotations": {RESET: "0"}},
                "spec": {**of("dev"), "controllers": []},
            }
            await world.host.create(VIRTUAL_CLUSTERS, body)
            await world.until("branch")
            client = await world.client("branch")
            await write(client, "first")
            await reset(world, "branch")
            await write(client, "second")

    async def after() -> None:
        async with fleet(tmp_path / "data") as world:
            await world.until("branch")
            client = await world.client("branch")
            assert await exists(client, CONFIG_MAPS, "second", "default")
            assert not await exists(client, CONFIG_MAPS, "first", "default")
            await reset(world, "branch", "2")

            async def gone() -> bool:
                return not await exists(client, CONFIG_MAPS, "second", "default")

            await eventually(gone)

    uvloop.run(asyncio.wait_for(before(), 60))
    uvloop.run(asyncio.wait_for(after(), 60))
