"""controller-runtime: a manager that reconciles a custom resource into owned objects, over protobuf by default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.clients.kubectl.scenario import Kubectl
from tests.clients.programs import running

DEFINITION = Path(__file__).parent / "manifests" / "websites.yaml"
GROUP = "clients.kloster.dev"


@pytest.fixture
def definition(kubectl: Kubectl) -> None:
    kubectl.raw(f"apply --server-side -f {DEFINITION}")
    kubectl.raw(f"wait crd/websites.{GROUP} --for=condition=Established --timeout=20s")


def _site(kubectl: Kubectl, namespace: str, name: str, **spec: Any) -> None:
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Website",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    path = kubectl.directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(body))
    kubectl.raw(f"apply -f {path}")


def _read(kubectl: Kubectl, line: str) -> Any:
    return json.loads(kubectl.raw(f"{line} -o json"))


def test_a_manager_brings_a_website_up_and_takes_it_down(
    manager_binary: Path, definition: None, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    command = [str(manager_binary), "-kube", str(kubectl.kubeconfig), "-namespace", namespace]
    _site(kubectl, namespace, "early", page="hello")
    with running(command, tmp_path) as program:
        program.wait("elected")
        for kind in ("ConfigMap", "Deployment", "Service"):
            program.wait("created", kind=kind, name="early")
        program.wait("reported", name="early", ready="True")

        _site(kubectl, namespace, "site", page="one", replicas=2)
        program.wait("created", kind="Deployment", name="site")
        program.wait("reported", name="site", ready="True")
        kubectl.raw(f"wait website/site --for=condition=Ready --timeout=20s -n {namespace}")
        site = _read(kubectl, f"get website site -n {namespace}")
        assert site["status"]["readyReplicas"] == 2
        assert site["metadata"]["finalizers"] == [f"{GROUP}/farewell"]
        owners = _read(kubectl, f"get deployment site -n {namespace}")["metadata"]["ownerReferences"]
        assert [(one["kind"], one["uid"], one["controller"]) for one in owners] == [
            ("Website", site["metadata"]["uid"], True)
        ]
        events = _read(kubectl, f"get events -n {namespace} --field-selector involvedObject.name=site")["items"]
        assert {one["reason"] for one in events} >= {"Ensured"}

        _site(kubectl, namespace, "site", page="two", replicas=3)
        program.wait("updated", kind="Deployment", name="site")
        program.wait("reported", name="site", ready="True", generation=2)
        page = _read(kubectl, f"get configmap site -n {namespace}")["data"]["index.html"]
        assert page == "two"

        kubectl.raw(f"delete configmap site -n {namespace}")
        program.wait("created", kind="ConfigMap", name="site")

        kubectl.raw(f"delete website site -n {namespace} --timeout=20s")
        program.wait("farewell", name="site")
        # What it owned goes with it: the garbage collector follows owner references to a custom resource.
        kubectl.raw(f"wait deployment/site configmap/site service/site --for=delete --timeout=20s -n {namespace}")
        assert program.end() == 0

    with running(command, tmp_path) as program:
        program.wait("elected")
        program.wait("reported", name="early", ready="True")
        again = [one for one in program.drain(1.5) if one["event"] in ("created", "updated")]
        assert not again, "a restarted manager found something to change, though nothing had changed"
        program.end()
    kubectl.raw(f"patch website early -n {namespace} --type=merge -p " + """'{"metadata":{"finalizers":null}}'""")
