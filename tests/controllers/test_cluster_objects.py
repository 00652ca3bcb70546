"""Namespaces, service accounts, garbage collection, pod GC, roles and budgets against the real pipeline."""

from __future__ import annotations

import pytest

from kloster.apimachinery import Object
from kloster.client.resources import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
)
from kloster.controllers import TABLE, select

from .test_deployments import spec
from .world import CONTAINERS, NS, World, world


@world
async def test_a_namespace_is_furnished(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(NAMESPACES, "team")
    await cluster.settle()
    assert await cluster.exists(SERVICE_ACCOUNTS, "default", "team")
    bundle = await cluster.get(CONFIG_MAPS, "kube-root-ca.crt", "team")
    assert bundle["data"] == {"ca.crt": "-----BEGIN CERTIFICATE-----"}
    assert "kubernetes.io/description" in bundle["metadata"]["annotations"]
    await cluster.client.delete(SERVICE_ACCOUNTS, "team", "default")
    await cluster.client.delete(CONFIG_MAPS, "team", "kube-root-ca.crt")
    await cluster.settle()
    assert await cluster.exists(SERVICE_ACCOUNTS, "default", "team")
    assert await cluster.exists(CONFIG_MAPS, "kube-root-ca.crt", "team")


@world
async def test_a_namespace_is_emptied_pods_first(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(NAMESPACES, "team")
    await cluster.settle()
    metadata = {"namespace": "team"}
    await cluster.create(CONFIG_MAPS, "kept", metadata={**metadata, "finalizers": ["example.com/hold"]})
    await cluster.create(PODS, "p", metadata={**metadata, "finalizers": ["example.com/hold"]},
                         spec={"containers": CONTAINERS})  # fmt: skip
    await cluster.client.delete(NAMESPACES, "", "team")
    await cluster.settle()
    namespace = await cluster.get(NAMESPACES, "team")
    assert namespace["status"]["phase"] == "Terminating"
    assert await cluster.exists(CONFIG_MAPS, "kube-root-ca.crt", "team")
    found = {item["type"]: item for item in namespace["status"]["conditions"]}
    assert (
        found["NamespaceContentRemaining"]["message"] == "Some resources are remaining: pods. has 1 resource instances"
    )
    assert found["NamespaceFinalizersRemaining"]["reason"] == "SomeFinalizersRemain"
    await cluster.client.patch(PODS, "team", "p", {"metadata": {"finalizers": None}})
    await cluster.advance(3)
    assert not await cluster.exists(CONFIG_MAPS, "kube-root-ca.crt", "team")
    namespace = await cluster.get(NAMESPACES, "team")
    found = {item["type"]: item for item in namespace["status"]["conditions"]}
    text = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    assert found["NamespaceFinalizersRemaining"]["message"] == text
    await cluster.client.patch(CONFIG_MAPS, "team", "kept", {"metadata": {"finalizers": None}})
    await cluster.advance(10)
    assert not await cluster.exists(NAMESPACES, "team")


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_deletion_policies(policy: str) -> None:
    @world
    async def run(cluster: World) -> None:
        cluster.run("*")
        await cluster.create(DEPLOYMENTS, "web", spec=spec(2))
        await cluster.converge()
        await cluster.client.delete(DEPLOYMENTS, NS, "web", propagation_policy=policy)
        await cluster.converge()
        assert not await cluster.exists(DEPLOYMENTS, "web")
        left = await cluster.all(REPLICA_SETS)
        if policy == "Orphan":
            assert len(left) == 1
            assert "ownerReferences" not in left[0]["metadata"]
            assert len(await cluster.all(PODS)) == 2
        else:
            assert left == []
            assert await cluster.all(PODS) == []

    run()


def owner(item: Object, **more: object) -> Object:
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "name": item["metadata"]["name"],
        "uid": item["metadata"]["uid"],
        **more,
    }


@world
async def test_foreground_waits_for_what_blocks(cluster: World) -> None:
    cluster.run("*")
    parent = await cluster.create(CONFIG_MAPS, "parent")
    reference = owner(parent, blockOwnerDeletion=True)
    held = {"ownerReferences": [reference], "finalizers": ["example.com/hold"]}
    await cluster.create(CONFIG_MAPS, "child", metadata=held)
    await cluster.create(CONFIG_MAPS, "loose", metadata={"ownerReferences": [owner(parent)]})
    await cluster.settle()
    await cluster.client.delete(CONFIG_MAPS, NS, "parent", propagation_policy="Foreground")
    await cluster.settle()
    assert await cluster.exists(CONFIG_MAPS, "parent")
    assert "deletionTimestamp" in (await cluster.get(CONFIG_MAPS, "child"))["metadata"]
    await cluster.patch(CONFIG_MAPS, "child", {"metadata": {"finalizers": None}})
    await cluster.settle()
    for name in ("parent", "child", "loose"):
        assert not await cluster.exists(CONFIG_MAPS, name)


@world
async def test_an_object_lives_as_long_as_one_owner(cluster: World) -> None:
    cluster.run("*")
    first, second = await cluster.create(CONFIG_MAPS, "first"), await cluster.create(CONFIG_MAPS, "second")
    await cluster.create(CONFIG_MAPS, "child", metadata={"ownerReferences": [owner(first), owner(second)]})
    await cluster.client.delete(CONFIG_MAPS, NS, "first")
    await cluster.settle()
    (left,) = (await cluster.get(CONFIG_MAPS, "child"))["metadata"]["ownerReferences"]
    assert left["uid"] == second["metadata"]["uid"]
    await cluster.client.delete(CONFIG_MAPS, NS, "second")
    await cluster.settle()
    assert not await cluster.exists(CONFIG_MAPS, "child")


@world
async def test_absent_and_foreign_owners(cluster: World) -> None:
    await cluster.create(NAMESPACES, "other")
    foreign = await cluster.create(CONFIG_MAPS, "foreign", metadata={"namespace": "other"})
    absent = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "11111111-2222-4333-8444-555555555555"}
    unknown = {**absent, "apiVersion": "example.com/v1", "kind": "Widget"}
    await cluster.create(CONFIG_MAPS, "a", metadata={"ownerReferences": [absent]})
    await cluster.create(CONFIG_MAPS, "b", metadata={"ownerReferences": [owner(foreign)]})
    await cluster.create(CONFIG_MAPS, "c", metadata={"ownerReferences": [unknown]})
    cluster.run("*")
    await cluster.settle()
    assert not await cluster.exists(CONFIG_MAPS, "a")
    assert not await cluster.exists(CONFIG_MAPS, "b")
    assert await cluster.exists(CONFIG_MAPS, "c")  # nothing is deleted because of a kind that is not known
    (message,) = await cluster.events("OwnerRefInvalidNamespace")
    uid = foreign["metadata"]["uid"]
    identity = f"[v1/ConfigMap, namespace: {NS}, name: foreign, uid: {uid}]"
    assert message == f'ownerRef {identity} does not exist in namespace "{NS}"'


@world
async def test_cycles_do_not_block(cluster: World) -> None:
    cluster.run("*")
    first = await cluster.create(CONFIG_MAPS, "first")
    reference = owner(first, blockOwnerDeletion=True)
    second = await cluster.create(CONFIG_MAPS, "second", metadata={"ownerReferences": [reference]})
    back = owner(second, blockOwnerDeletion=True)
    await cluster.patch(CONFIG_MAPS, "first", {"metadata": {"ownerReferences": [back]}})
    await cluster.client.delete(CONFIG_MAPS, NS, "first", propagation_policy="Foreground")
    await cluster.advance(5)
    assert not await cluster.exists(CONFIG_MAPS, "first")
    assert not await cluster.exists(CONFIG_MAPS, "second")


@world
async def test_pods_of_a_lost_node_are_removed(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()
    await cluster.node("n")
    await cluster.create(PODS, "p", spec={"containers": CONTAINERS, "nodeName": "n"})
    await cluster.set_phase("p", "Running")
    await cluster.settle()
    await cluster.client.delete(NODES, "", "n")
    await cluster.advance(30)
    assert await cluster.exists(PODS, "p")
    await cluster.advance(15)
    assert not await cluster.exists(PODS, "p")


@world
async def test_roles_are_aggregated(cluster: World) -> None:
    cluster.run("*")
    rule = {"clusterRoleSelectors": [{"matchLabels": {"part": "yes"}}]}
    reading = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    writing = {"apiGroups": [""], "resources": ["pods"], "verbs": ["update"]}
    await cluster.create(CLUSTER_ROLES, "whole", aggregationRule=rule, rules=[])
    await cluster.create(CLUSTER_ROLES, "b", metadata={"labels": {"part": "yes"}}, rules=[writing, reading])
    await cluster.create(CLUSTER_ROLES, "a", metadata={"labels": {"part": "yes"}}, rules=[reading])
    await cluster.settle()
    assert (await cluster.get(CLUSTER_ROLES, "whole"))["rules"] == [reading, writing]
    await cluster.client.delete(CLUSTER_ROLES, "", "b")
    await cluster.settle()
    assert (await cluster.get(CLUSTER_ROLES, "whole"))["rules"] == [reading]


@world
async def test_a_claim_in_use_stays(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    for name in ("used", "free"):
        await cluster.create(PERSISTENT_VOLUME_CLAIMS, name, spec=claim)
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]
    await cluster.node("n")
    await cluster.create(PODS, "p", spec={"containers": CONTAINERS, "nodeName": "n", "volumes": volumes})
    await cluster.settle()
    finalizers = (await cluster.get(PERSISTENT_VOLUME_CLAIMS, "used"))["metadata"]["finalizers"]
    assert finalizers == ["kubernetes.io/pvc-protection"]
    for name in ("used", "free"):
        await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, NS, name)
    await cluster.settle()
    assert await cluster.names(PERSISTENT_VOLUME_CLAIMS) == ["used"]
    await cluster.client.delete(PODS, NS, "p", grace_period_seconds=0)
    await cluster.settle()
    assert await cluster.names(PERSISTENT_VOLUME_CLAIMS) == []


def ephemeral(name: str) -> Object:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"labels": {"kind": "scratch"}, "annotations": {"a": "b"}}
    return {"name": name, "ephemeral": {"volumeClaimTemplate": {"metadata": metadata, "spec": claim}}}


@world
async def test_ephemeral_volumes_have_claims_that_go_with_the_pod(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()
    await cluster.create(PODS, "p", spec={"containers": CONTAINERS, "volumes": [ephemeral("scratch")]})
    await cluster.settle()
    pod, claim = await cluster.get(PODS, "p"), await cluster.get(PERSISTENT_VOLUME_CLAIMS, "p-scratch")
    assert claim["metadata"]["ownerReferences"] == [owner(pod, controller=True, blockOwnerDeletion=True)]
    assert (claim["metadata"]["labels"], claim["metadata"]["annotations"]) == ({"kind": "scratch"}, {"a": "b"})
    assert claim["spec"]["resources"] == {"requests": {"storage": "1Gi"}}
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, NS, "p-scratch")
    await cluster.settle()
    again = await cluster.get(PERSISTENT_VOLUME_CLAIMS, "p-scratch")
    assert again["metadata"]["uid"] != claim["metadata"]["uid"]
    await cluster.client.delete(PODS, NS, "p")
    await cluster.advance(5)
    assert await cluster.names(PERSISTENT_VOLUME_CLAIMS) == []


@world
async def test_an_ephemeral_volume_does_not_take_a_claim_that_is_there(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await cluster.create(PERSISTENT_VOLUME_CLAIMS, "p-scratch", spec=claim)
    await cluster.create(PODS, "p", spec={"containers": CONTAINERS, "volumes": [ephemeral("scratch")]})
    await cluster.settle()
    text = f"ephemeral volume scratch: PVC {NS}/p-scratch was not created for pod {NS}/p (pod is not owner)"
    assert await cluster.events("FailedBinding") == [text]
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, NS, "p-scratch")
    await cluster.settle()
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIMS, "p-scratch"))["metadata"]["ownerReferences"]


@pytest.mark.parametrize(
    ("budget", "wanted", "allowed"),
    [({"minAvailable": 2}, 2, 1), ({"maxUnavailable": "50%"}, 1, 2), ({"minAvailable": "90%"}, 3, 0)],
    ids=["minimum", "unavailable share", "available share"],
)
def test_disruption_budgets(budget: Object, wanted: int, allowed: int) -> None:
    @world
    async def run(cluster: World) -> None:
        cluster.run("*")
        await cluster.create(POD_DISRUPTION_BUDGETS, "b", spec={"selector": {"matchLabels": {"app": "web"}}, **budget})
        await cluster.create(DEPLOYMENTS, "web", spec=spec(3))
        await cluster.converge()
        status = (await cluster.get(POD_DISRUPTION_BUDGETS, "b"))["status"]
        assert (status["currentHealthy"], status["desiredHealthy"], status["disruptionsAllowed"]) == (
            3,
            wanted,
            allowed,
        )
        assert status["conditions"][0]["reason"] == ("SufficientPods" if allowed else "InsufficientPods")

    run()


@pytest.mark.parametrize(
    ("patterns", "switched_off"),
    [
        (["*"], set()),
        (["*", "-deployment"], {"deployment-controller"}),
        (["*", "-deployment-controller", "-podgc"], {"deployment-controller", "pod-garbage-collector-controller"}),
        (["*", "-horizontal-pod-autoscaler"], set()),
        (["-job", "job", "*"], {"job-controller"}),
        ([], {controller.name for controller in TABLE}),
    ],
    ids=["all", "older name", "two", "not run here", "first wins", "none"],
)
def test_selection(patterns: list[str], switched_off: set[str]) -> None:
    chosen = {controller.name for controller in select(patterns)}
    assert chosen == {controller.name for controller in TABLE} - switched_off


@pytest.mark.parametrize("name", ["deploy", "-deploy", "horizontal-pod-autoscaler"])
def test_unknown_controllers_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"deployment-controller") as raised:
        select(["*", name])
    assert name.removeprefix("-") in str(raised.value)
