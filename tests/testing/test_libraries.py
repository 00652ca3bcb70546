"""The client libraries that people use, each the real one, on what `Cluster` gives them."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.testing.test_cluster import DEFINITION

from kloster.testing import AsyncCluster, Cluster, Fleet, TestingError, libraries

HERE = Path(__file__).parent


@pytest.fixture
def cluster(fleet: Fleet) -> Iterator[Cluster]:
    with Cluster("1.34", fleet=fleet) as cluster:
        yield cluster
    gc.collect()  # what a library leaves open is told to its own test, not amid another one


def test_the_official_client(cluster: Cluster) -> None:
    client: Any = libraries.library("kubernetes.client")
    with client.ApiClient(cluster.client_configuration()) as api:
        core = client.CoreV1Api(api)
        core.create_namespaced_config_map("default", {"metadata": {"name": "c"}, "data": {"a": "b"}})
        assert core.read_namespaced_config_map("c", "default").data == {"a": "b"}
    assert cluster.get("cm/c")["data"] == {"a": "b"}


def test_lightkube(cluster: Cluster) -> None:
    resources: Any = libraries.library("lightkube.resources.core_v1")
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})
    with cluster.lightkube() as client:
        assert client.get(resources.ConfigMap, "c", namespace="default").data == {"a": "b"}

    async def use() -> None:
        async with AsyncCluster.of(cluster).lightkube() as client:
            found = await client.get(resources.ConfigMap, "c", namespace="default")
        assert found.data == {"a": "b"}

    asyncio.run(use())


@pytest.mark.filterwarnings("ignore")
def test_kr8s(cluster: Cluster) -> None:
    api = cluster.kr8s()
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})
    [found] = list(api.get("configmaps", "c", namespace="default"))
    assert found.raw["data"] == {"a": "b"}

    async def use() -> None:
        asynchronous = await AsyncCluster.of(cluster).kr8s()
        names = [one.name async for one in asynchronous.get("configmaps", namespace="default")]
        assert "c" in names

    asyncio.run(use())


@pytest.mark.filterwarnings("ignore")
def test_an_operator_of_kopf_runs_beside_the_test(cluster: Cluster) -> None:
    cluster.apply(DEFINITION)
    with cluster.kopf(str(HERE / "operator_kopf.py")) as runner:
        cluster.wait_for("widget/first jsonpath={.status.message}=size 3", namespace="things")
        with pytest.raises(TestingError, match="an operator runs in this process already"), cluster.kopf("other.py"):
            pass
    assert "Creation is processed" in runner.output


@pytest.mark.filterwarnings("ignore")
def test_an_operator_that_runs_is_not_disturbed_when_the_clusters_time_is_moved_on(cluster: Cluster) -> None:
    cluster.apply(DEFINITION)
    with cluster.kopf(str(HERE / "operator_kopf.py")):
        cluster.wait_for("widget/first jsonpath={.status.message}=size 3", namespace="things")
        cluster.clock.advance("30d")
        second = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "second"}, "spec": {"size": 2}}
        cluster.apply(second, namespace="things")
        cluster.wait_for("widget/second jsonpath={.status.message}=size 2", namespace="things")


def test_a_command_finds_the_cluster_in_its_environment(cluster: Cluster) -> None:
    code = (
        "from kubernetes import client, config; config.load_kube_config();"
        "print(len(client.CoreV1Api().list_namespace().items))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=cluster.environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "4\n"


def test_a_library_that_is_missing_is_named() -> None:
    with pytest.raises(TestingError, match="nosuchlibrary is not installed here; install it: pip install"):
        libraries.library("nosuchlibrary.client")
