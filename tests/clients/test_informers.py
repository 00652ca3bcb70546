"""client-go: shared informers over protobuf, writes, leader election, and a server that goes away and comes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.fleets import Cluster, Fleet
from tests.clients.kubectl.scenario import Kubectl
from tests.clients.programs import running

PROTOBUF = "application/vnd.kubernetes.protobuf"
DEPLOYMENT = "create deployment web --image=web:1 --replicas={replicas} -n {namespace}"


def _command(binary: Path, kubeconfig: Path, namespace: str, *more: str) -> list[str]:
    return [str(binary), "-kubeconfig", str(kubeconfig), "-namespace", namespace, *more]


@pytest.mark.parametrize("content", [PROTOBUF, "application/json"])
@pytest.mark.parametrize("watch_list", ["false", "true"], ids=["list-then-watch", "streaming-list"])
def test_informers_follow_a_deployment_and_change_it(
    content: str,
    watch_list: str,
    informers_binary: Path,
    cluster: Cluster,
    kubectl: Kubectl,
    namespace: str,
    tmp_path: Path,
) -> None:
    command = _command(informers_binary, cluster.kubeconfig, namespace, "-content-type", content)
    env = {**os.environ, "KUBE_FEATURE_WatchListClient": watch_list}
    kubectl.raw(f"create configmap before --from-literal=a=b -n {namespace}")
    with running(command, tmp_path, env) as program:
        assert program.wait("connected")["version"].startswith("v1.34")
        program.wait("add", kind="ConfigMap", name="before")
        program.wait("synced")
        kubectl.raw(DEPLOYMENT.format(replicas=1, namespace=namespace))
        program.wait("add", kind="Deployment", name="web")
        program.wait("add", kind="ReplicaSet")
        program.wait("add", kind="Pod")
        kubectl.raw(f"annotate deployment web clients.kloster.dev/replicas=3 -n {namespace}")
        assert program.wait("scaled", name="web")["replicas"] == 3
        kubectl.raw(f"wait deployment/web --for=jsonpath={{.status.readyReplicas}}=3 --timeout=30s -n {namespace}")
        kubectl.raw(f"delete deployment web -n {namespace}")
        # Each kind has a watch of its own: nobody promises which of them tells first.
        gone = [program.wait("delete")["kind"] for _ in range(5)]
        assert sorted(gone) == ["Deployment", "Pod", "Pod", "Pod", "ReplicaSet"]
        assert program.end() == 0
        assert not [one for one in program.said if one["event"] == "watch-error"]


def test_one_of_two_leads_and_the_other_takes_over(
    informers_binary: Path, cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    def command(identity: str) -> list[str]:
        return _command(informers_binary, cluster.kubeconfig, namespace, "-identity", identity)

    with running(command("one"), tmp_path) as one, running(command("two"), tmp_path) as two:
        first = one.wait("leader")["identity"]
        assert two.wait("leader")["identity"] == first
        leader, other, name = (one, two, "two") if first == "one" else (two, one, "one")
        leader.wait("leading", identity=first)
        leader.wait("synced")
        holder = f"get lease informers -o jsonpath={{.spec.holderIdentity}} -n {namespace}"
        assert kubectl.raw(holder) == first
        leader.kill()
        other.wait("leading", identity=name)
        other.wait("synced")
        assert kubectl.raw(holder) == name
        transitions = f"get lease informers -o jsonpath={{.spec.leaseTransitions}} -n {namespace}"
        assert int(kubectl.raw(transitions)) >= 1
        other.end()
        assert kubectl.raw(holder) == ""


@pytest.fixture
def own_fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that this test may stop."""
    directory = tmp_path / "fleet"
    directory.mkdir()
    fleet = Fleet(directory)
    fleet.up()
    try:
        yield fleet
    finally:
        fleet.end()


@pytest.mark.parametrize("watch_list", ["false", "true"], ids=["list-then-watch", "streaming-list"])
def test_informers_outlive_a_restart_of_the_server(
    watch_list: str, own_fleet: Fleet, informers_binary: Path, kubectl_binary: Path, tmp_path: Path
) -> None:
    cluster = own_fleet.create("restarted", "1.34")
    kubectl = Kubectl(kubectl_binary, cluster.kubeconfig, tmp_path)
    kubectl.raw("create configmap kept --from-literal=a=b")
    kubectl.raw("create configmap doomed")
    env = {**os.environ, "KUBE_FEATURE_WatchListClient": watch_list}
    with running(_command(informers_binary, cluster.kubeconfig, "default"), tmp_path, env) as program:
        program.wait("synced")
        own_fleet.down()
        program.drain(1)
        own_fleet.up()
        # Written before the informers have come back: they must learn of it from where they stood.
        kubectl.raw("label configmap kept seen=yes")
        kubectl.raw("delete configmap doomed")
        kubectl.raw("create configmap fresh")
        wanted = {("update", "kept"), ("delete", "doomed"), ("add", "fresh")}
        while wanted:
            found = program.wait("", kind="ConfigMap")
            wanted.discard((found["event"], found.get("name")))
        assert cluster.kubeconfig.read_text() == own_fleet.kloster("connect", "restarted", "--print")
        assert program.end() == 0
        relisted = [one for one in program.said if one["event"] == "watch-error" and one["expired"]]
        assert not relisted, "a restart must not make a client list again"
