"""The syncer is stopped before and after every one of its actions; a new one must finish the work.

`scenario` is run once undisturbed to count the actions; then again and again, each time with a syncer that ends at
its k-th write, once before the write is sent and once when it has taken effect but the answer has not come.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.syncer.converged import check, quiet
from tests.syncer.world import Fault, Virtual, World, run

from kloster.client.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS, SERVICES

LABELS = {"app": "web"}
CONTAINER = {"name": "app", "image": "app:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}


async def build(dev: Virtual) -> None:
    """An application comes up."""
    await dev.create(CONFIG_MAPS, "settings", data={"a": "1"})
    await dev.create(SECRETS, "login", stringData={"user": "me"})
    await dev.create(SERVICES, "web", spec={"selector": LABELS, "ports": [{"port": 80}]})
    spec = {"containers": [CONTAINER], "volumes": [{"name": "s", "secret": {"secretName": "login"}}]}
    template = {"metadata": {"labels": LABELS}, "spec": spec}
    await dev.create(
        DEPLOYMENTS, "web", spec={"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template}
    )
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await dev.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=claim)
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    await dev.pod("db", volumes=volumes, readinessGates=[{"conditionType": "example.com/gate"}])
    job = {"spec": {"containers": [{"name": "c", "image": "job:1"}], "restartPolicy": "Never"}}
    await dev.create(JOBS, "sum", spec={"template": job})


async def change(dev: Virtual) -> None:
    """The application is changed and partly taken away."""
    await dev.patch(CONFIG_MAPS, "settings", {"data": {"a": "2"}})
    await dev.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 1}})
    await dev.patch(SERVICES, "web", {"spec": {"ports": [{"port": 81}]}})
    gate = {"status": {"conditions": [{"type": "example.com/gate", "status": "True"}]}}
    await dev.patch(PODS, "db", gate, type="strategic", subresource="status")
    pods = [one for one in await dev.all(PODS) if (one["metadata"].get("labels") or {}).get("app")]
    await dev.patch(PODS, pods[0]["metadata"]["name"], {"metadata": {"labels": {"more": "yes"}}})
    await dev.delete(JOBS, "sum", propagation_policy="Background")


async def scenario(world: World, dev: Virtual) -> None:
    await build(dev)
    await world.settle()
    await change(dev)
    await world.settle()


async def end_state(world: World, dev: Virtual) -> None:
    await check(dev)
    pods = [one for one in await dev.all(PODS) if not one["metadata"].get("deletionTimestamp")]
    assert [one["status"]["phase"] for one in pods] == ["Running", "Running"]
    assert all(one["status"]["containerStatuses"][0]["ready"] for one in pods)
    ready = [next(c["status"] for c in one["status"]["conditions"] if c["type"] == "Ready") for one in pods]
    assert ready == ["True", "True"]
    assert (await dev.get(PERSISTENT_VOLUME_CLAIMS, "data"))["status"]["phase"] == "Bound"
    settings = await dev.host(CONFIG_MAPS, "settings")
    service = await dev.host(SERVICES, "web")
    assert settings is not None and service is not None
    assert settings["data"] == {"a": "2"}
    assert service["spec"]["ports"][0]["port"] == 81
    await quiet(world, dev)


async def cut(world: World, fault: Fault) -> None:
    dev = await world.virtual("dev", sync=False)
    dev.start_syncer(fault)
    await scenario(world, dev)
    await dev.stop_syncer()
    await world.settle(1)
    dev.start_syncer()
    await world.settle()
    await end_state(world, dev)


def count() -> int:
    """The writes of an undisturbed run (which must end well, too)."""
    fault = Fault(at=-1, after=False)
    asyncio.run(run(lambda world: cut(world, fault)))
    return fault.seen


@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_cut_everywhere(after: bool, part: int) -> None:
    """In parts, so that several processes can share the work."""
    writes = count()
    assert writes > 60, "a scenario without work proves nothing"
    missed = 0
    for at in range(1 + part, writes + 1, 4):
        fault = Fault(at, after)
        try:
            asyncio.run(run(lambda world, fault=fault: cut(world, fault)))
        except AssertionError as error:
            raise AssertionError(f"cut {'after' if after else 'before'} write {at} of {writes}: {error}") from error
        missed += not fault.hit
    assert missed <= writes // 20, "runs differ by a few writes at most"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_fault_bites(after: bool) -> None:
    """Seeded fault: with the syncer gone at its tenth write and no other started, the work is not done."""

    async def body(world: World) -> None:
        dev = await world.virtual("dev", sync=False)
        fault = Fault(10, after)
        dev.start_syncer(fault)
        await scenario(world, dev)
        assert fault.hit
        with pytest.raises(AssertionError):
            await check(dev)

    asyncio.run(run(body))
