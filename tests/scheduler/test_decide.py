"""Where pods go: the rules one by one, and the words when there is nowhere to go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kloster.client.api import Change, Resource
from kloster.client.resources import NAMESPACES, NODES, PODS
from kloster.scheduler import loop, preemption
from kloster.scheduler.snapshot import Snapshot

Object = dict[str, Any]


class Objects:
    """A source of fixed objects."""

    def __init__(self, *items: tuple[Resource, Object]) -> None:
        self.items = list(items)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return next((one for kind, one in self.items if kind == resource and one["metadata"]["name"] == name), None)

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [one for kind, one in self.items if kind == resource]

    def owned_by(self, resource: Resource, namespace: str, uid: str) -> list[Object]:
        return []

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        for one in self.list(resource):
            handler(Change(resource, None, one))
        return lambda: None


def node(name: str, *, cpu: str = "4", pods: str = "10", labels: Object | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": pods}},
    }


def pod(name: str, *, cpu: str = "100m", on: str = "", labels: Object | None = None, **spec: Any) -> Object:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}, "ports": spec.pop("ports", [])}
    found: Object = {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels or {}},
        "spec": {"containers": [container], **spec},
        "status": {},
    }
    if on:
        found["spec"]["nodeName"] = on
    return found


def snapshot(*items: Object) -> Snapshot:
    kinds = {True: NODES, False: PODS}
    namespace = {"metadata": {"name": "default", "labels": {"kubernetes.io/metadata.name": "default"}}}
    listed = [(kinds["allocatable" in one["status"]], one) for one in items]
    return Snapshot(Objects((NAMESPACES, namespace), *listed))


def test_the_emptier_node_is_preferred() -> None:
    world = snapshot(node("a"), node("b"), pod("x", cpu="2", on="a"))
    assert loop.decide(pod("new"), world).node == "b"


SPREAD = {
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "x"}},
        }
    ]
}
APART = {
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
            ]
        }
    }
}
TOGETHER = {"affinity": {"podAffinity": APART["affinity"]["podAntiAffinity"]}}
TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("new", "world", "expected"),
    [
        pytest.param(pod("n", cpu="5"), [node("a")], "0/1 nodes are available: 1 Insufficient cpu.", id="cpu"),
        pytest.param(pod("n"), [node("a", pods="0")], "0/1 nodes are available: 1 Too many pods.", id="pods"),
        pytest.param(
            pod("n"),
            [node("a", unschedulable=True)],
            "0/1 nodes are available: 1 node(s) were unschedulable.",
            id="cordon",
        ),
        pytest.param(
            pod("n"),
            [node("a", taints=[TAINT])],
            "0/1 nodes are available: 1 node(s) had untolerated taint(s) {gpu: yes}.",
            id="taint",
        ),
        pytest.param(pod("n", tolerations=[{"operator": "Exists"}]), [node("a", taints=[TAINT])], "a", id="tolerated"),
        pytest.param(
            pod("n", nodeSelector={"disk": "ssd"}),
            [node("a"), node("b", labels={"disk": "ssd"})],
            "b",
            id="node-selector",
        ),
        pytest.param(
            pod("n", nodeSelector={"disk": "ssd"}),
            [node("a")],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            id="node-selector-nowhere",
        ),
        pytest.param(
            pod("n", labels={"app": "x"}, **APART),
            [node("a"), node("b"), pod("o", on="a", labels={"app": "x"}, cpu="0")],
            "b",
            id="anti-affinity",
        ),
        pytest.param(
            pod("n", labels={"app": "x"}),
            [node("a"), pod("o", on="a", labels={"app": "x"}, **APART)],
            "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
            id="anti-affinity-of-others",
        ),
        pytest.param(
            pod("n", **TOGETHER),
            [node("a"), node("b"), pod("o", on="a", labels={"app": "x"}, cpu="3")],
            "a",
            id="affinity",
        ),
        pytest.param(pod("n", labels={"app": "x"}, **TOGETHER), [node("a")], "a", id="affinity-first-of-its-group"),
        pytest.param(
            pod("n", labels={"app": "x"}, **SPREAD),
            [
                node("a", labels={"zone": "1"}),
                node("b", labels={"zone": "2"}, cpu="1"),
                pod("o", on="a", labels={"app": "x"}),
            ],
            "b",
            id="spread",
        ),
        pytest.param(
            pod("n", ports=[{"hostPort": 80, "containerPort": 80}]),
            [node("a"), node("b", cpu="1"), pod("o", on="a", ports=[{"hostPort": 80, "containerPort": 80}])],
            "b",
            id="host-port",
        ),
        pytest.param(pod("n"), [], "no nodes available to schedule pods", id="no-nodes"),
    ],
)
def test_rules(new: Object, world: list[Object], expected: str) -> None:
    placement = loop.decide(new, snapshot(*world))
    assert (placement.node or placement.message) == expected


def test_init_containers_count_by_their_peak() -> None:
    heavy = pod("n", cpu="1")
    heavy["spec"]["initContainers"] = [{"name": "i", "resources": {"requests": {"cpu": "6"}}}]
    assert loop.decide(heavy, snapshot(node("a", cpu="5"))).node is None
    assert loop.decide(heavy, snapshot(node("a", cpu="6"))).node == "a"


def test_preemption_takes_the_least_important_pods() -> None:
    world = snapshot(
        node("a", cpu="2"),
        node("b", cpu="2"),
        pod("low", on="a", cpu="2", priority=1),
        pod("middle", on="b", cpu="2", priority=5),
    )
    victims = preemption.choose(pod("vip", cpu="2", priority=10), world, loop.feasible)
    assert victims is not None
    assert (victims.node, [one["metadata"]["name"] for one in victims.pods]) == ("a", ["low"])


def test_preemption_puts_back_what_need_not_go() -> None:
    world = snapshot(
        node("a", cpu="3"),
        pod("small", on="a", cpu="1", priority=1),
        pod("large", on="a", cpu="2", priority=1),
    )
    victims = preemption.choose(pod("vip", cpu="1", priority=10), world, loop.feasible)
    assert victims is not None
    assert len(victims.pods) == 1


def test_nobody_is_preempted_for_equal_priority() -> None:
    world = snapshot(node("a", cpu="1"), pod("o", on="a", cpu="1", priority=10))
    assert preemption.choose(pod("n", cpu="1", priority=10), world, loop.feasible) is None


def test_of_a_running_pod_only_what_placing_looks_at_is_kept() -> None:
    environment = {"name": "PASSWORD", "value": "x" * 1000}
    running = pod("a", on="n1", labels={"app": "a"}, volumes=[{"name": "v", "emptyDir": {}}], priority=3)
    running["spec"]["containers"][0]["env"] = [environment]
    running["status"] = {"phase": "Running", "containerStatuses": [{"name": "c"}]}
    (info,) = snapshot(node("n1"), running).ready()
    assert info.pods["uid-a"] == {
        "metadata": {"name": "a", "namespace": "default", "uid": "uid-a", "labels": {"app": "a"}},
        "spec": {
            "nodeName": "n1",
            "priority": 3,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}],
        },
    }
