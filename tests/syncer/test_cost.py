"""What a pod costs in writes, and what is told when starting takes long."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally

from tests.syncer.world import Counter, Virtual, World, run, syncing

from kloster.client.resources import CONFIG_MAPS, PODS
from kloster.nodes.simulated.executor import Timings


def tally(counter: Counter) -> dict[str, int]:
    """Writes by verb and what they are for."""
    found: Tally[str] = Tally()
    for line in counter.writes:
        method, _, path = line.partition(" ")
        parts = path.split("/")
        kind = parts[5] if len(parts) > 5 else parts[3]
        found[f"{method} {kind}" + (f"/{parts[7]}" if len(parts) > 7 else "")] += 1
    return dict(found)


@syncing
async def test_writes_for_a_pod_that_starts_at_once(world: World, dev: Virtual) -> None:
    """Two on the host, three on the virtual side; states that last for milliseconds are not told."""
    await dev.pod("first")
    await world.settle()
    world.counter.writes.clear()
    await dev.pod("web", nodeName=(await dev.get(PODS, "first"))["spec"]["nodeName"])
    await world.settle()
    assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"
    found = tally(world.counter)
    events = found.pop("POST events")
    assert events == 4
    assert found == {
        "POST serviceaccounts/token": 1,
        "POST secrets": 1,
        "POST pods": 1,
        "PATCH pods/status": 1,
    }


def test_a_slow_start_is_told_after_a_moment() -> None:
    async def body(world: World) -> None:
        dev = await world.virtual("dev")
        await dev.pod("web")
        await world.settle(0.5)
        pod = await dev.get(PODS, "web")
        assert pod["spec"]["nodeName"]
        assert pod["status"]["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
        assert pod["status"]["podIP"]
        await world.settle(10)
        assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"

    asyncio.run(run(body, timings=Timings(start=5.0)))


@syncing
async def test_trouble_is_told_at_once(world: World, dev: Virtual) -> None:
    await dev.create(CONFIG_MAPS, "settings", data={})
    reference = {"configMapKeyRef": {"name": "settings", "key": "absent"}}
    await dev.pod("web", containers=[{"name": "c", "image": "i", "env": [{"name": "A", "valueFrom": reference}]}])
    await world.settle(0.05)
    state = (await dev.get(PODS, "web"))["status"]["containerStatuses"][0]["state"]
    assert state["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": "couldn't find key absent in ConfigMap default/settings",
    }


@syncing
async def test_what_everybody_refers_to_is_looked_at_once(world: World, dev: Virtual) -> None:
    """kube-root-ca.crt is in every pod: its first and last pod matter, not the hundred between."""
    await dev.pod("first")
    await world.settle()
    assert dev.syncing is not None
    names = [one.name for one in dev.syncing.controllers]
    place = names.index("syncer-configmaps")
    before = world.dispatcher.statistics.reconciled
    calls: list[str] = []
    original = dev.syncing.controllers[place].reconcile

    async def counted(context: object, key: object) -> object:
        calls.append(str(key))
        return await original(context, key)  # type: ignore[arg-type]

    object.__setattr__(dev.syncing.controllers[place], "reconcile", counted)
    for number in range(30):
        await dev.pod(f"p{number}")
    await world.settle()
    for number in range(30):
        await dev.delete(PODS, f"p{number}")
    await world.settle()
    assert calls == []
    assert world.dispatcher.statistics.reconciled > before
    await dev.delete(PODS, "first")
    await world.settle()
    assert len(calls) >= 1
    assert await dev.on_host(CONFIG_MAPS) == []
