"""lightkube: models, apply, lists in pages, watches, sub-resources and generic resources, in both its clients."""

from __future__ import annotations

import asyncio

import pytest
from lightkube import AsyncClient, Client, KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod
from lightkube.types import PatchType
from tests.clients.fleets import Cluster

pytestmark = pytest.mark.filterwarnings("default")


def _client(cluster: Cluster, namespace: str) -> Client:
    settings = KubeConfig.from_file(cluster.kubeconfig)
    return Client(config=settings, namespace=namespace, field_manager="lightkube", trust_env=False)


def _deployment(replicas: int) -> Deployment:
    labels = {"app": "web"}
    pod = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="web", image="web:1")])
    )
    spec = DeploymentSpec(replicas=replicas, selector=LabelSelector(matchLabels=labels), template=pod)
    return Deployment(metadata=ObjectMeta(name="web"), spec=spec)


def test_a_deployment_is_applied_until_it_is_available(cluster: Cluster, namespace: str) -> None:
    api = _client(cluster, namespace)
    assert api.apply(_deployment(2)).metadata.generation == 1
    api.wait(Deployment, "web", for_conditions=["Available"])
    assert api.apply(_deployment(3)).metadata.generation == 2
    for change, found in api.watch(Deployment, fields={"metadata.name": "web"}, server_timeout=20):
        assert change in ("ADDED", "MODIFIED")
        if found.status and found.status.readyReplicas == 3:
            break
    pods = list(api.list(Pod, labels={"app": "web"}, chunk_size=1))
    assert len(pods) == 3
    scale = api.get(Deployment.Scale, name="web")
    scale.spec.replicas = 0
    api.replace(scale, name="web")
    api.delete(Deployment, "web")


def test_configmaps_are_written_in_every_way(cluster: Cluster, namespace: str) -> None:
    api = _client(cluster, namespace)
    api.create(ConfigMap(metadata=ObjectMeta(name="cm", labels={"l": "1"}), data={"a": "b"}))
    with pytest.raises(ApiError) as twice:
        api.create(ConfigMap(metadata=ObjectMeta(name="cm")))
    assert twice.value.status.reason == "AlreadyExists"
    assert api.patch(ConfigMap, "cm", {"data": {"c": "d"}}, patch_type=PatchType.MERGE).data == {"a": "b", "c": "d"}
    found = api.get(ConfigMap, "cm")
    found.data = {"e": "f"}
    assert api.replace(found).data == {"e": "f"}
    assert [one.metadata.name for one in api.list(ConfigMap, labels={"l": "1"})] == ["cm"]
    api.deletecollection(ConfigMap)
    assert not list(api.list(ConfigMap, labels={"l": "1"}))


def test_nodes_are_listed_without_blocking(cluster: Cluster, namespace: str) -> None:
    async def names() -> list[str]:
        settings = KubeConfig.from_file(cluster.kubeconfig)
        async with AsyncClient(config=settings, namespace=namespace, trust_env=False) as api:
            await api.create(ConfigMap(metadata=ObjectMeta(name="async")))
            _ = [one.metadata.name async for one in api.list(Node)]
            return [one.metadata.name async for one in api.list(ConfigMap)]

    assert "async" in asyncio.run(names())
