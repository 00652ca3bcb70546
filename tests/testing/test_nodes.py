"""Nodes that a test loses: for its cluster alone, with what upstream's controllers make of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kloster.testing import Cluster, Fleet, StatusError


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet") / "kloster", nodes=2) as fleet:
        yield fleet


@pytest.fixture
def cluster(fleet: Fleet) -> Iterator[Cluster]:
    with Cluster("1.34", fleet=fleet) as cluster:
        yield cluster


def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": name}}, "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"a": name}}, "template": template},
    }


def the_pod(cluster: Cluster, name: str = "web") -> dict[str, Any]:
    cluster.wait_for(f"deployment/{name} condition=Available")
    (pod,) = cluster.list("pods", labels=f"a={name}")
    return pod


def conditions(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["type"]: one for one in item["status"].get("conditions", ())}


def test_a_lost_node_becomes_unknown_and_its_pods_are_evicted(cluster: Cluster, fleet: Fleet) -> None:
    cluster.apply(deployment())
    pod = the_pod(cluster)
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    with Cluster("1.34", fleet=fleet) as other:
        other.apply(deployment(nodeName=node))
        bystander = the_pod(other)
        lost = cluster.clock.now()
        cluster.nodes.lose(node)
        cluster.clock.advance("45s")
        assert conditions(cluster.get("node", node))["Ready"]["status"] == "True"

        cluster.clock.advance("15s")
        seen = cluster.wait_for(f"node/{node} condition=Ready=Unknown", 10)
        ready = conditions(seen)["Ready"]
        assert (ready["reason"], ready["message"]) == ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        never = conditions(seen)["DiskPressure"]
        assert (never["status"], never["reason"]) == ("Unknown", "NodeStatusNeverUpdated")
        cluster.wait_for(lambda: cluster.get("node", node)["spec"].get("taints"), 10)
        taints = cluster.get("node", node)["spec"]["taints"]
        assert {(one["key"], one["effect"]) for one in taints} == {
            ("node.kubernetes.io/unreachable", "NoSchedule"),
            ("node.kubernetes.io/unreachable", "NoExecute"),
        }
        noticed = datetime.fromisoformat(taints[0]["timeAdded"]) - lost
        assert timedelta(seconds=48) <= noticed <= timedelta(seconds=60)
        cluster.wait_for(f"pod/{name} condition=Ready=False", 10)
        assert conditions(cluster.get("pod", name))["ContainersReady"]["status"] == "True"
        assert not cluster.get("pod", name)["metadata"].get("deletionTimestamp")
        said = cluster.wait_for(
            lambda: [one for one in cluster.events(f"pod/{name}") if one["reason"] == "NodeNotReady"]
        )
        assert [(one["type"], one["message"], one["source"]["component"]) for one in said] == [
            ("Warning", "Node is not ready", "node-controller")
        ]

        cluster.clock.advance("6m")
        cluster.wait_for(lambda: cluster.get("pod", name)["metadata"].get("deletionTimestamp"), 10)
        target = conditions(cluster.get("pod", name))["DisruptionTarget"]
        assert (target["status"], target["reason"]) == ("True", "DeletionByTaintManager")
        assert target["message"] == "Taint manager: deleting due to NoExecute taint"
        successor = cluster.wait_for(
            lambda: [
                one
                for one in cluster.list("pods")
                if one["metadata"]["name"] != name and conditions(one).get("Ready", {}).get("status") == "True"
            ],
            20,
        )[0]
        assert successor["spec"]["nodeName"] != node
        assert cluster.exists("pod", name)  # nobody confirms that it has ended

        cluster.nodes.recover(node)
        cluster.wait_for(f"pod/{name} delete")
        wanted = {"NodeNotReady", "NodeReady"}
        cluster.wait_for(lambda: {one["reason"] for one in cluster.events(f"node/{node}")} >= wanted)
        assert conditions(other.get("node", node))["Ready"]["status"] == "True"
        assert other.get("pod", bystander["metadata"]["name"])["metadata"]["uid"] == bystander["metadata"]["uid"]


def test_one_advance_carries_it_through(cluster: Cluster) -> None:
    cluster.apply(deployment())
    pod = the_pod(cluster)
    cluster.nodes.lose(pod["spec"]["nodeName"])
    cluster.clock.advance("6m")
    cluster.wait_for(lambda: cluster.get("pod", pod["metadata"]["name"])["metadata"].get("deletionTimestamp"), 10)


def test_pods_that_tolerate_it_stay_and_are_ready_again_afterwards(cluster: Cluster) -> None:
    cluster.apply(deployment(tolerations=[{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]))
    pod = the_pod(cluster)
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    cluster.nodes.lose(node)
    cluster.clock.advance("1h")
    cluster.wait_for(f"pod/{name} condition=Ready=False", 10)
    cluster.nodes.recover(node)
    cluster.wait_for(f"pod/{name} condition=Ready", 10)
    assert cluster.get("pod", name)["metadata"]["uid"] == pod["metadata"]["uid"]
    assert not cluster.get("node", node)["spec"].get("taints")


def test_deletions_wait_for_the_node_unless_by_force(cluster: Cluster) -> None:
    cluster.apply(deployment())
    pod = the_pod(cluster)
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    cluster.nodes.lose(node)
    cluster.delete("pod", name, wait=0)
    cluster.wait_for(lambda: len(cluster.list("pods")) == 2)
    assert cluster.get("pod", name)["metadata"]["deletionTimestamp"]
    cluster.request("DELETE", f"/api/v1/namespaces/default/pods/{name}", gracePeriodSeconds="0")
    assert not cluster.exists("pod", name)


def test_with_all_nodes_lost_new_pods_wait(tmp_path: Path) -> None:
    with Fleet(tmp_path / "kloster") as fleet, Cluster("1.31", fleet=fleet) as cluster:
        cluster.apply(deployment())
        node = the_pod(cluster)["spec"]["nodeName"]
        cluster.nodes.lose(node)
        cluster.apply(deployment("late"))
        late = cluster.wait_for(lambda: cluster.list("pods", labels="a=late"))[0]["metadata"]["name"]
        cluster.wait_for(f"pod/{late} condition=PodScheduled=False", 20)
        cluster.clock.advance("46s")  # 1.31 is more impatient
        cluster.wait_for(f"node/{node} condition=Ready=Unknown", 10)
        cluster.nodes.recover(node)
        cluster.wait_for("deployment/late condition=Available", 20)


def test_a_node_that_is_not_there_cannot_be_lost(cluster: Cluster) -> None:
    with pytest.raises(StatusError, match='nodes "node-9" not found'):
        cluster.nodes.lose("node-9")
