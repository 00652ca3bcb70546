"""Deployments and ReplicaSets against the real pipeline."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.client.resources import DEPLOYMENTS, PODS, REPLICA_SETS

from .world import CONTAINERS, World, world


def spec(replicas: int = 3, image: str = "example.com/app:1", **more: Any) -> Object:
    labels = {"app": "web"}
    containers = [{**CONTAINERS[0], "image": image}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **more}


async def condition(cluster: World, kind: str) -> tuple[str, str]:
    deployment = await cluster.get(DEPLOYMENTS, "web")
    found = {item["type"]: item for item in deployment["status"]["conditions"]}
    return found[kind]["status"], found[kind]["reason"]


async def change_image(cluster: World, image: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    await cluster.patch(DEPLOYMENTS, "web", patch, type="strategic")


@world
async def test_a_deployment_comes_up_as_upstream(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(DEPLOYMENTS, "web", spec=spec())
    await cluster.settle()
    (replica_set,) = await cluster.all(REPLICA_SETS)
    digest = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{digest}"
    assert replica_set["metadata"]["annotations"] == {
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
        "deployment.kubernetes.io/revision": "1",
    }
    assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert replica_set["status"] == {"fullyLabeledReplicas": 3, "observedGeneration": 1, "replicas": 3}
    pods = await cluster.all(PODS)
    assert len(pods) == 3
    assert all(pod["metadata"]["generateName"] == f"web-{digest}-" for pod in pods)
    deployment = await cluster.get(DEPLOYMENTS, "web")
    assert deployment["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    status = deployment["status"]
    conditions = status.pop("conditions")
    assert status == {"observedGeneration": 1, "replicas": 3, "unavailableReplicas": 3, "updatedReplicas": 3}
    assert [(item["type"], item["status"], item["reason"], item["message"]) for item in conditions] == [
        ("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
        ("Progressing", "True", "ReplicaSetUpdated", f'ReplicaSet "web-{digest}" is progressing.'),
    ]
    assert await cluster.events("ScalingReplicaSet") == [f"Scaled up replica set web-{digest} from 0 to 3"]
    assert sorted(await cluster.events("SuccessfulCreate")) == sorted(
        f"Created pod: {pod['metadata']['name']}" for pod in pods
    )
    await cluster.converge()
    assert await condition(cluster, "Available") == ("True", "MinimumReplicasAvailable")
    assert await condition(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert (await cluster.get(DEPLOYMENTS, "web"))["status"]["readyReplicas"] == 3


@world
async def test_a_rolling_update_stays_between_its_fenceposts(cluster: World) -> None:
    cluster.run("*")
    limits = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    await cluster.create(DEPLOYMENTS, "web", spec=spec(4, strategy=limits))
    await cluster.converge()
    await change_image(cluster, "example.com/app:2")
    for _ in range(20):
        await cluster.settle()
        pods = [pod for pod in await cluster.all(PODS) if "deletionTimestamp" not in pod["metadata"]]
        ready = [pod for pod in pods if pod["status"]["phase"] == "Running"]
        assert len(pods) <= 5
        assert len(ready) >= 3
        # One pod at a time becomes ready, so that the steps can be seen.
        waiting = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Pending"]
        if not waiting and await cluster.play_kubelet() == 0:
            break
        await cluster.play_kubelet(only=lambda pod, first=waiting[:1]: pod["metadata"]["name"] in first)  # type: ignore[misc]
    images = {pod["spec"]["containers"][0]["image"] for pod in await cluster.all(PODS)}
    assert images == {"example.com/app:2"}
    sizes = {item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: item["spec"]["replicas"]
             for item in await cluster.all(REPLICA_SETS)}  # fmt: skip
    assert sizes == {"1": 0, "2": 4}
    assert (await cluster.get(DEPLOYMENTS, "web"))["metadata"]["annotations"][
        "deployment.kubernetes.io/revision"
    ] == "2"


@world
async def test_rolling_back_reuses_the_old_replica_set(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(DEPLOYMENTS, "web", spec=spec(2))
    await cluster.converge()
    (first,) = await cluster.names(REPLICA_SETS)
    for image in ("example.com/app:2", "example.com/app:1"):
        await change_image(cluster, image)
        await cluster.converge()
    assert len(await cluster.names(REPLICA_SETS)) == 2
    annotations = (await cluster.get(REPLICA_SETS, first))["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"


@world
async def test_recreate_waits_for_the_last_old_pod(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(DEPLOYMENTS, "web", spec=spec(2, strategy={"type": "Recreate"}))
    await cluster.converge()
    for pod in await cluster.all(PODS):  # bound pods end gracefully
        await cluster.client.create_subresource(
            PODS, "default", pod["metadata"]["name"], "binding",
            {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]},
             "target": {"kind": "Node", "name": "n"}},
        )  # fmt: skip
    await change_image(cluster, "example.com/app:2")
    await cluster.settle()
    pods = await cluster.all(PODS)
    assert len(pods) == 2
    assert all("deletionTimestamp" in pod["metadata"] for pod in pods)
    await cluster.converge()
    assert {pod["spec"]["containers"][0]["image"] for pod in await cluster.all(PODS)} == {"example.com/app:2"}


@world
async def test_scaling_and_pausing(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(DEPLOYMENTS, "web", spec=spec(2))
    await cluster.converge()
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}})
    await cluster.converge()
    assert len(await cluster.all(PODS)) == 5
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"paused": True}})
    await change_image(cluster, "example.com/app:2")
    await cluster.converge()
    assert len(await cluster.names(REPLICA_SETS)) == 1
    assert await condition(cluster, "Progressing") == ("Unknown", "DeploymentPaused")
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}})
    await cluster.converge()
    assert len(await cluster.names(REPLICA_SETS)) == 2
    assert await condition(cluster, "Progressing") == ("True", "NewReplicaSetAvailable")


@world
async def test_a_stuck_rollout_times_out(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(DEPLOYMENTS, "web", spec=spec(1, progressDeadlineSeconds=60))
    await cluster.settle()
    await cluster.advance(30)
    assert await condition(cluster, "Progressing") == ("True", "ReplicaSetUpdated")
    await cluster.advance(40)
    assert await condition(cluster, "Progressing") == ("False", "ProgressDeadlineExceeded")


@world
async def test_history_is_limited(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(DEPLOYMENTS, "web", spec=spec(1, revisionHistoryLimit=1))
    for number in range(2, 6):
        await cluster.converge()
        await change_image(cluster, f"example.com/app:{number}")
    await cluster.converge()
    await cluster.settle()
    assert len(await cluster.names(REPLICA_SETS)) == 2


@world
async def test_switched_off_nothing_happens(cluster: World) -> None:
    cluster.run("*", "-deployment")
    await cluster.create(DEPLOYMENTS, "web", spec=spec())
    await cluster.settle()
    assert await cluster.names(REPLICA_SETS) == []


@world
async def test_a_replica_set_adopts_and_releases(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()  # pods wait for their service account
    labels = {"app": "web"}
    orphan = await cluster.create(PODS, "orphan", metadata={"labels": labels}, spec={"containers": CONTAINERS})
    await cluster.create(REPLICA_SETS, "rs", spec=spec(2))
    await cluster.settle()
    pods = {pod["metadata"]["name"]: pod for pod in await cluster.all(PODS)}
    assert len(pods) == 2
    assert pods["orphan"]["metadata"]["uid"] == orphan["metadata"]["uid"]
    (reference,) = pods["orphan"]["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["name"], reference["controller"]) == ("ReplicaSet", "rs", True)
    await cluster.patch(PODS, "orphan", {"metadata": {"labels": {"app": "other"}}})
    await cluster.settle()
    assert len(await cluster.all(PODS)) == 3
    assert "ownerReferences" not in (await cluster.get(PODS, "orphan"))["metadata"]


@world
async def test_unready_pods_go_first(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(REPLICA_SETS, "rs", spec=spec(3))
    await cluster.settle()
    first, second, third = await cluster.names(PODS)
    await cluster.set_phase(first, "Running")
    await cluster.set_phase(second, "Running", ready=False)
    await cluster.set_phase(third, "Running")
    await cluster.patch(REPLICA_SETS, "rs", {"spec": {"replicas": 2}})
    await cluster.converge()
    assert sorted(await cluster.names(PODS)) == sorted([first, third])
