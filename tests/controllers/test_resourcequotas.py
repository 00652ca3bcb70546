"""Quotas are charged with what is created, given back with what goes, and counted anew where neither can tell."""

from __future__ import annotations

import asyncio

import pytest

from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.resources import CONFIG_MAPS, PODS, RESOURCE_QUOTAS, SECRETS, SERVICES

from .world import CONTAINERS, NS, World, world

ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", True)


async def quota(cluster: World, **hard: str) -> None:
    await cluster.create(RESOURCE_QUOTAS, "q", spec={"hard": {name.replace("__", "."): hard[name] for name in hard}})
    await cluster.settle()


async def used(cluster: World) -> dict[str, str]:
    status = (await cluster.get(RESOURCE_QUOTAS, "q"))["status"]
    return dict(status["used"])


@world
async def test_what_is_there_is_counted(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()
    await cluster.create(PODS, "a", spec={"containers": CONTAINERS})
    await cluster.create(SECRETS, "s")
    await quota(cluster, pods="5", secrets="3", services="2")
    found = await cluster.get(RESOURCE_QUOTAS, "q")
    assert found["status"] == {
        "hard": {"pods": "5", "secrets": "3", "services": "2"},
        "used": {"pods": "1", "secrets": "1", "services": "1"},
    }


@world
async def test_many_at_once_get_exactly_what_is_left(cluster: World) -> None:
    """Upstream can let several through between two looks at the quota; here the charge is part of the write."""
    cluster.run("*")
    await quota(cluster, configmaps="10")
    there = int((await used(cluster))["configmaps"])
    wanted = [cluster.create(CONFIG_MAPS, f"c-{number}") for number in range(20)]
    outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, StatusError)]
    assert len(refused) == 10 + there
    assert all("exceeded quota: q" in str(error) and error.code == 403 for error in refused)
    assert (await used(cluster))["configmaps"] == "10"
    managers = {entry["manager"] for entry in (await cluster.get(RESOURCE_QUOTAS, "q"))["metadata"]["managedFields"]}
    assert "kube-apiserver" in managers


@world
async def test_what_goes_is_given_back_at_once(cluster: World) -> None:
    cluster.run("-resourcequota", "*")
    await cluster.create(RESOURCE_QUOTAS, "q", spec={"hard": {"secrets": "1"}})
    await cluster.client.patch(
        RESOURCE_QUOTAS, NS, "q", {"status": {"hard": {"secrets": "1"}, "used": {"secrets": "0"}}}, subresource="status"
    )
    for _ in range(3):
        await cluster.create(SECRETS, "s", metadata={"finalizers": ["example.com/hold"]})
        await cluster.client.delete(SECRETS, NS, "s")
        assert (await used(cluster))["secrets"] == "1"
        await cluster.patch(SECRETS, "s", {"metadata": {"finalizers": None}})
        assert (await used(cluster))["secrets"] == "0"


@world
async def test_pods_that_have_ended_and_services_that_ask_for_less_are_given_back(cluster: World) -> None:
    cluster.run("-endpoint", "-endpointslice", "*")
    await quota(cluster, pods="1", services__nodeports="1")
    await cluster.create(PODS, "a", spec={"containers": CONTAINERS})
    await cluster.create(SERVICES, "s", spec={"type": "NodePort", "ports": [{"port": 1}]})
    with pytest.raises(StatusError, match=r"exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"):
        await cluster.create(PODS, "b", spec={"containers": CONTAINERS})
    await cluster.play_kubelet(phase="Succeeded")
    await cluster.patch(SERVICES, "s", {"spec": {"type": "ClusterIP"}})
    await cluster.settle()
    assert await used(cluster) == {"pods": "0", "services.nodeports": "0"}
    await cluster.create(PODS, "b", spec={"containers": CONTAINERS})


@world
async def test_a_pod_stuck_in_its_end_is_charged_no_longer(cluster: World) -> None:
    cluster.run("*")
    await cluster.node("n")
    await quota(cluster, pods="1")
    await cluster.create(PODS, "a", spec={"containers": CONTAINERS, "nodeName": "n"})
    await cluster.client.delete(PODS, NS, "a", grace_period_seconds=20)
    await cluster.settle()
    assert (await used(cluster))["pods"] == "1"
    await cluster.advance(60)
    assert await cluster.exists(PODS, "a")
    assert (await used(cluster))["pods"] == "0"


@world
async def test_a_quota_that_asks_for_something_else_is_counted_anew(cluster: World) -> None:
    cluster.run("*")
    await quota(cluster, secrets="3")
    await cluster.patch(RESOURCE_QUOTAS, "q", {"spec": {"hard": {"secrets": None, "pods": "2"}}})
    await cluster.settle()
    assert (await cluster.get(RESOURCE_QUOTAS, "q"))["status"] == {"hard": {"pods": "2"}, "used": {"pods": "0"}}


@world
async def test_anything_can_be_counted(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(ROLES, "a")
    await quota(cluster, **{"count/roles.rbac.authorization.k8s.io": "1"})
    assert await used(cluster) == {"count/roles.rbac.authorization.k8s.io": "1"}
    with pytest.raises(StatusError, match=r'roles\.rbac\.authorization\.k8s\.io "b" is forbidden: exceeded quota: q'):
        await cluster.create(ROLES, "b")
    await cluster.client.delete(ROLES, NS, "a")
    await cluster.create(ROLES, "b")
