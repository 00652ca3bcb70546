"""kubectl where pods run: what needs nodes, which the real server of the golden files does not have."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.fleets import Cluster, Fleet, in_namespace
from tests.clients.kubectl.scenario import Kubectl


@pytest.fixture
def here(kubectl: Kubectl, namespace: str, tmp_path: Path) -> Kubectl:
    """kubectl whose context selects the test's namespace."""
    return Kubectl(kubectl.binary, in_namespace(kubectl.kubeconfig, namespace, tmp_path / "here"), tmp_path)


@pytest.fixture
def host(fleet: Fleet, kubectl_binary: Path, tmp_path: Path) -> Kubectl:
    """kubectl on the embedded host."""
    return Kubectl(kubectl_binary, fleet.host().kubeconfig, tmp_path)


def test_a_deployment_rolls_out_and_back(here: Kubectl) -> None:
    here.raw("create deployment web --image=web:1 --replicas=2")
    done = here.raw("rollout status deployment/web --timeout=30s")
    assert done.endswith('deployment "web" successfully rolled out\n')
    here.raw("wait deployment/web --for=condition=Available --timeout=5s")
    here.raw("wait pod -l app=web --for=condition=Ready --timeout=5s")
    here.raw("set image deployment/web web=web:2")
    here.raw("rollout status deployment/web --timeout=30s")
    here.raw("rollout undo deployment/web")
    here.raw("rollout status deployment/web --timeout=30s")
    assert here.raw("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}") == "web:1"
    here.raw("rollout restart deployment/web")
    here.raw("rollout status deployment/web --timeout=30s")
    here.raw("scale deployment/web --replicas=5")
    here.raw("wait deployment/web --for=jsonpath={.status.readyReplicas}=5 --timeout=20s")
    assert here.raw("get deployment web --no-headers").split()[1] == "5/5"


def test_a_job_completes_and_a_cronjob_is_run_by_hand(here: Kubectl) -> None:
    here.raw("create job once --image=job:1")
    here.raw("wait job/once --for=condition=Complete --timeout=30s")
    here.raw("create cronjob later --image=job:1 --schedule='0 0 1 1 *'")
    here.raw("create job now --from=cronjob/later")
    here.raw("wait job/now --for=condition=Complete --timeout=30s")
    assert here.raw("get job once --no-headers").split()[1:3] == ["Complete", "1/1"]


def test_a_watch_shows_a_pod_come_up_and_go(here: Kubectl) -> None:
    shown = here.watch(
        "get pods -w --no-headers",
        ("run one --image=one:1", "wait pod/one --for=condition=Ready --timeout=20s", "delete pod one --wait=true"),
        {},
    )
    states = [line.split()[2] for line in shown.stdout.splitlines()]
    assert states[0] == "Pending"
    assert "Running" in states
    assert "Terminating" in states


@pytest.mark.parametrize("command", ["logs one", "exec one -- ls", "attach one"])
def test_a_simulated_pod_says_that_nothing_runs_in_it(command: str, here: Kubectl) -> None:
    here.raw("run one --image=one:1")
    here.raw("wait pod/one --for=condition=Ready --timeout=20s")
    refused = here.run(command)
    assert refused.code == 1
    assert "simulated" in refused.stderr


def test_a_pod_ends_gracefully_or_at_once(here: Kubectl) -> None:
    here.raw("run slow --image=one:1")
    here.raw("run fast --image=one:1")
    here.raw("wait pod/slow pod/fast --for=condition=Ready --timeout=20s")
    began = time.monotonic()
    here.raw("delete pod fast --grace-period=0 --force --timeout=20s")
    here.raw("delete pod slow --grace-period=2 --timeout=20s")
    assert time.monotonic() - began < 15
    assert here.run("get pods").stderr.startswith("No resources found")


def test_a_service_finds_its_pods(here: Kubectl) -> None:
    here.raw("create deployment web --image=web:1 --replicas=2 --port=80")
    here.raw("expose deployment web --port=80")
    here.raw("rollout status deployment/web --timeout=30s")
    ends = time.monotonic() + 10
    while True:
        slices = json.loads(here.raw("get endpointslices -l kubernetes.io/service-name=web -o json"))["items"]
        ready = [one for found in slices for one in found["endpoints"] or () if one["conditions"]["ready"]]
        if len(ready) == 2:
            break
        assert time.monotonic() < ends, slices
        time.sleep(0.1)
    described = here.raw("describe service web")
    assert described.count(":80") >= 2


def test_top_has_no_metrics_to_show(here: Kubectl) -> None:
    refused = here.run("top pods")
    assert (refused.code, refused.stderr) == (1, "error: Metrics API not available\n")


@pytest.fixture
def node(host: Kubectl) -> Iterator[str]:
    """A node of the host, left as it was found."""
    name = "node-3"
    yield name
    host.run(f"uncordon {name}")
    host.run(f"taint node {name} example.com/test-")


def test_nodes_are_cordoned_tainted_and_drained(host: Kubectl, node: str) -> None:
    assert host.run(f"cordon {node}").stdout == f"node/{node} cordoned\n"
    assert "SchedulingDisabled" in host.raw(f"get node {node} --no-headers")
    assert host.run(f"cordon {node}").stdout == f"node/{node} already cordoned\n"
    assert host.run(f"taint node {node} example.com/test=x:NoSchedule").stdout == f"node/{node} tainted\n"
    assert "example.com/test=x:NoSchedule" in host.raw(f"describe node {node}")
    drained = host.run(f"drain {node} --ignore-daemonsets --delete-emptydir-data --force --timeout=40s")
    assert drained.code == 0, drained.stderr
    assert drained.stdout.endswith(f"node/{node} drained\n")
    assert host.run(f"get pods -A --field-selector=spec.nodeName={node}").stderr == "No resources found\n"
    assert host.run(f"uncordon {node}").stdout == f"node/{node} uncordoned\n"


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_every_version_serves_its_own(
    version: str, clusters: dict[str, Cluster], kubectl_binary: Path, tmp_path: Path
) -> None:
    kubectl = Kubectl(kubectl_binary, clusters[version].kubeconfig, tmp_path)
    assert f"Server Version: v{version}." in kubectl.raw("version")
    kubectl.raw("create deployment same --image=same:1 --replicas=2 --dry-run=server")
    kubectl.run("delete deployment same")
    kubectl.raw("create deployment same --image=same:1 --replicas=2")
    kubectl.raw("rollout status deployment/same --timeout=40s")
    assert kubectl.raw("get deployments -A -o name") == "deployment.apps/same\n"
    served = kubectl.raw("api-resources -o name").split()
    assert ("deviceclasses.resource.k8s.io" in served) == (version != "1.31")
    assert "FIELD: replicas" in kubectl.raw("explain deployment.spec.replicas")
    kubectl.raw("delete deployment same")


def test_the_demo_of_a_custom_resource_in_two_shapes(
    clusters: dict[str, Cluster], kubectl_binary: Path, tmp_path: Path
) -> None:
    """The same definition's name means two things in two clusters."""
    for version, kind in (("1.31", "integer"), ("1.37", "string")):
        schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": kind}}}}}
        shape = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "shapes", "singular": "shape", "kind": "Shape"}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "shapes.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [shape]},
        }
        (tmp_path / f"{kind}.json").write_text(json.dumps(body))
        kubectl = Kubectl(kubectl_binary, clusters[version].kubeconfig, tmp_path)
        kubectl.raw(f"apply -f {kind}.json")
        kubectl.raw("wait crd/shapes.example.com --for=condition=Established --timeout=20s")
    one = {"apiVersion": "example.com/v1", "kind": "Shape", "metadata": {"name": "one"}, "spec": {"size": 1}}
    (tmp_path / "one.json").write_text(json.dumps(one))
    old, new = (Kubectl(kubectl_binary, clusters[version].kubeconfig, tmp_path) for version in ("1.31", "1.37"))
    assert old.run("apply -f one.json").code == 0
    refused = new.run("apply -f one.json")
    assert refused.code == 1
    assert 'spec.size: Invalid value: "integer": spec.size in body must be of type string' in refused.stderr
