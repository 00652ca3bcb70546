"""StatefulSets and DaemonSets against the real pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.apimachinery import Object
from kloster.client.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)

from .world import CONTAINERS, NS, World, world

LABELS = {"app": "db"}


def spec(**more: Any) -> Object:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": CONTAINERS}}
    return {"selector": {"matchLabels": LABELS}, "template": template, **more}


def claim(name: str = "data") -> Object:
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def image(number: int) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": f"example.com/app:{number}"}]}}}}


async def images(cluster: World) -> dict[str, str]:
    return {
        pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"][-1]
        for pod in await cluster.all(PODS)
        if "deletionTimestamp" not in pod["metadata"]
    }


@world
async def test_pods_come_up_in_order_with_their_claims(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(STATEFUL_SETS, "db", spec=spec(replicas=2, serviceName="db", volumeClaimTemplates=[claim()]))
    await cluster.settle()
    (pod,) = await cluster.all(PODS)
    revision = (await cluster.names(CONTROLLER_REVISIONS))[0]
    metadata = pod["metadata"]
    assert (metadata["name"], metadata["generateName"]) == ("db-0", "db-")
    assert metadata["labels"] == {
        "app": "db",
        "apps.kubernetes.io/pod-index": "0",
        "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": "db-0",
    }
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")
    assert pod["spec"]["volumes"][0] == {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}
    (volume_claim,) = await cluster.all(PERSISTENT_VOLUME_CLAIMS)
    assert (volume_claim["metadata"]["name"], volume_claim["metadata"]["labels"]) == ("data-db-0", LABELS)
    status = (await cluster.get(STATEFUL_SETS, "db"))["status"]
    assert status == {
        "availableReplicas": 0,
        "collisionCount": 0,
        "currentReplicas": 1,
        "currentRevision": revision,
        "observedGeneration": 1,
        "replicas": 1,
        "updateRevision": revision,
        "updatedReplicas": 1,
    }
    assert await cluster.events("SuccessfulCreate") == [
        "create Claim data-db-0 Pod db-0 in StatefulSet db success",
        "create Pod db-0 in StatefulSet db successful",
    ]
    await cluster.converge()
    assert await cluster.names(PODS) == ["db-0", "db-1"]


@world
async def test_parallel_starts_all_at_once(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(STATEFUL_SETS, "db", spec=spec(replicas=3, podManagementPolicy="Parallel"))
    await cluster.settle()
    assert await cluster.names(PODS) == ["db-0", "db-1", "db-2"]


@world
async def test_scaling_down_takes_the_highest_and_keeps_claims(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(STATEFUL_SETS, "db", spec=spec(replicas=3, volumeClaimTemplates=[claim()]))
    await cluster.converge()
    await cluster.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
    await cluster.settle()
    assert "db-0" in await cluster.names(PODS)
    await cluster.converge()
    assert await cluster.names(PODS) == ["db-0"]
    assert len(await cluster.names(PERSISTENT_VOLUME_CLAIMS)) == 3
    assert await cluster.events("SuccessfulDelete") == [
        "delete Pod db-2 in StatefulSet db successful",
        "delete Pod db-1 in StatefulSet db successful",
    ]


@world
async def test_claims_go_with_the_policy(cluster: World) -> None:
    cluster.run("*")
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    more = {"volumeClaimTemplates": [claim()], "persistentVolumeClaimRetentionPolicy": policy}
    await cluster.create(STATEFUL_SETS, "db", spec=spec(replicas=2, **more))
    await cluster.converge()
    await cluster.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
    await cluster.converge()
    gone = (
        await cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-db-1")
        if await cluster.exists(PERSISTENT_VOLUME_CLAIMS, "data-db-1")
        else None
    )
    assert gone is None or "deletionTimestamp" in gone["metadata"]  # pvc-protection may hold it
    (reference,) = (await cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-db-0"))["metadata"]["ownerReferences"]
    assert reference["kind"] == "StatefulSet"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"type": "RollingUpdate"}, {"db-0": "2", "db-1": "2", "db-2": "2"}),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, {"db-0": "1", "db-1": "1", "db-2": "2"}),
        ({"type": "OnDelete"}, {"db-0": "1", "db-1": "1", "db-2": "1"}),
    ],
    ids=["rolling", "partition", "on delete"],
)
def test_updates(strategy: Object, expected: dict[str, str]) -> None:
    @world
    async def run(cluster: World) -> None:
        cluster.run("*")
        await cluster.create(STATEFUL_SETS, "db", spec=spec(replicas=3, updateStrategy=strategy))
        await cluster.converge()
        await cluster.patch(STATEFUL_SETS, "db", image(2), type="strategic")
        seen: list[dict[str, str]] = []
        for _ in range(20):
            await cluster.settle()
            seen.append(await images(cluster))
            if not await cluster.play_kubelet():
                break
        assert await images(cluster) == expected
        assert all(len(step) >= 2 for step in seen)
        status = (await cluster.get(STATEFUL_SETS, "db"))["status"]
        complete = set(expected.values()) == {"2"}
        assert (status["currentRevision"] == status["updateRevision"]) == complete

    run()


@world
async def test_a_pod_below_the_partition_comes_back_as_it_was(cluster: World) -> None:
    cluster.run("*")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    await cluster.create(STATEFUL_SETS, "db", spec=spec(replicas=2, updateStrategy=strategy))
    await cluster.converge()
    await cluster.patch(STATEFUL_SETS, "db", image(2), type="strategic")
    await cluster.converge()
    await cluster.client.delete(PODS, NS, "db-0", grace_period_seconds=0)
    await cluster.converge()
    assert await images(cluster) == {"db-0": "1", "db-1": "2"}


@world
async def test_an_ended_pod_is_replaced(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(STATEFUL_SETS, "db", spec=spec(replicas=1))
    await cluster.converge()
    before = (await cluster.get(PODS, "db-0"))["metadata"]["uid"]
    await cluster.set_phase("db-0", "Failed")
    await cluster.converge()
    assert (await cluster.get(PODS, "db-0"))["metadata"]["uid"] != before


async def nodes_of(cluster: World) -> list[str]:
    found = []
    for pod in await cluster.all(PODS):
        if "deletionTimestamp" not in pod["metadata"]:
            (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
                "nodeSelectorTerms"
            ]
            (requirement,) = term["matchFields"]
            found += requirement["values"]
    return sorted(found)


@world
async def test_a_daemon_pod_for_each_node_that_fits(cluster: World) -> None:
    cluster.run("*")
    for name in ("a", "b"):
        await cluster.node(name)
    await cluster.node("tainted", taints=[{"key": "gpu", "effect": "NoSchedule"}])
    await cluster.node("cordoned", unschedulable=True)
    await cluster.create(DAEMON_SETS, "d", spec=spec())
    await cluster.settle()
    assert await nodes_of(cluster) == ["a", "b", "cordoned"]
    await cluster.node("c")
    await cluster.client.delete(NODES, "", "b")
    await cluster.converge()
    assert await nodes_of(cluster) == ["a", "c", "cordoned"]
    status = (await cluster.get(DAEMON_SETS, "d"))["status"]
    assert {name: status[name] for name in ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")} == {
        "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 3,
    }  # fmt: skip
    (pod, *_) = await cluster.all(PODS)
    assert {item["key"] for item in pod["spec"]["tolerations"]} >= {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unschedulable",
    }
    assert pod["metadata"]["labels"]["controller-revision-hash"]


@world
async def test_a_node_selector_follows_labels(cluster: World) -> None:
    cluster.run("*")
    await cluster.node("a")
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": CONTAINERS, "nodeSelector": {"disk": "fast"}}}
    await cluster.create(DAEMON_SETS, "d", spec=spec(template=template))
    await cluster.settle()
    assert await nodes_of(cluster) == []
    await cluster.patch(NODES, "a", {"metadata": {"labels": {"disk": "fast"}}})
    await cluster.converge()
    assert await nodes_of(cluster) == ["a"]
    await cluster.patch(NODES, "a", {"metadata": {"labels": {"disk": None}}})
    await cluster.converge()
    assert await nodes_of(cluster) == []


@pytest.mark.parametrize("limits", [{"maxUnavailable": 1}, {"maxSurge": 1, "maxUnavailable": 0}], ids=["down", "surge"])
def test_a_daemon_set_rolls_node_by_node(limits: Object) -> None:
    @world
    async def run(cluster: World) -> None:
        cluster.run("*")
        for name in "abc":
            await cluster.node(name)
        strategy = {"type": "RollingUpdate", "rollingUpdate": limits}
        await cluster.create(DAEMON_SETS, "d", spec=spec(updateStrategy=strategy))
        await cluster.converge()
        await cluster.patch(DAEMON_SETS, "d", image(2), type="strategic")
        fewest, most = 3, 3
        for _ in range(30):
            await cluster.settle()
            pods = [pod for pod in await cluster.all(PODS) if "deletionTimestamp" not in pod["metadata"]]
            running = [pod for pod in pods if pod["status"]["phase"] == "Running"]
            fewest, most = min(fewest, len(running)), max(most, len(pods))
            if not await cluster.play_kubelet():
                break
        assert set((await images(cluster)).values()) == {"2"}
        assert len(await images(cluster)) == 3
        assert (fewest, most) == ((2, 3) if "maxSurge" not in limits else (3, 4))

    run()


@world
async def test_a_failed_daemon_pod_is_replaced_with_back_off(cluster: World) -> None:
    cluster.run("*")
    await cluster.node("a")
    await cluster.create(DAEMON_SETS, "d", spec=spec())
    await cluster.settle()
    for wait in (0.0, 2.0):
        (name,) = await cluster.names(PODS)
        await cluster.set_phase(name, "Failed")
        await cluster.advance(wait)
        (pod,) = await cluster.all(PODS)
        assert pod["metadata"]["name"] != name
    assert len(await cluster.events("FailedDaemonPod")) == 2
