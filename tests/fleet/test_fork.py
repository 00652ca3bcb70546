"""Forks: a copy-on-write branch of a cluster's whole state, with an identity of its own."""

from __future__ import annotations

from tests.fleet.world import World, exists, in_fleet, read, write

from kloster.client.resources import CONFIG_MAPS
from kloster.fleet.virtualcluster import condition


@in_fleet
async def test_a_fork_has_what_its_source_had_and_goes_its_own_way(world: World) -> None:
    source = await world.create("dev", kubernetesVersion="1.33")
    dev = await world.client("dev")
    await write(dev, "before", of="source")
    fork = await world.create("branch", **{"from": {"name": "dev"}})
    branch = await world.client("branch")
    assert await read(branch, "before") == {"of": "source"}
    await write(branch, "mine", of="fork")
    await write(dev, "mine", of="source")
    await branch.delete(CONFIG_MAPS, "default", "before")
    assert await read(branch, "mine") == {"of": "fork"}
    assert await read(dev, "mine") == {"of": "source"}
    assert await read(dev, "before") == {"of": "source"}
    assert not await exists(branch, CONFIG_MAPS, "before", "default")
    assert fork["status"]["version"] == source["status"]["version"]
    assert fork["status"]["port"] != source["status"]["port"]
    assert fork["status"]["from"]["uid"] == source["metadata"]["uid"]
    forked = condition(fork, "Forked")
    assert forked is not None
    assert "claims start empty" in forked["message"].lower()
