"""The whole way: an object in a virtual cluster, its host object, and what comes back."""

from __future__ import annotations

from kloster.client.resources import NODES, PODS
from tests.syncer.world import Virtual, World, syncing


@syncing
async def test_a_pod_runs(world: World, dev: Virtual) -> None:
    await dev.pod("web")
    await world.settle()
    pod = await dev.get(PODS, "web")
    assert pod["status"]["phase"] == "Running"
    host = await dev.host(PODS, "web")
    assert host is not None
    assert pod["spec"]["nodeName"] == host["spec"]["nodeName"]
    assert pod["status"]["podIP"] == host["status"]["podIP"]
    assert await dev.names(NODES) == [pod["spec"]["nodeName"]]
