"""The applications of tests/applications with kubectl: apply, wait, apply again, delete."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.clients.fleets import Cluster, Fleet
from tests.clients.kubectl.scenario import Kubectl

MANIFESTS = sorted((Path(__file__).parent.parent / "applications" / "manifests").glob("*.yaml"))


@pytest.fixture(scope="module")
def applications(fleet: Fleet) -> Cluster:
    """A cluster for them alone: some bring namespaces along."""
    return fleet.create("applications", "1.34")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_kubectl_applies_it(applications: Cluster, kubectl_binary: Path, tmp_path: Path, manifest: Path) -> None:
    kubectl = Kubectl(kubectl_binary, applications.kubeconfig, tmp_path)
    items = [one for one in yaml.safe_load_all(manifest.read_text()) if one]
    assert kubectl.raw(f"apply -f {manifest}").count(" created\n") == len(items)
    for item in items:
        kind, metadata = item["kind"].lower(), item["metadata"]
        one = f"{kind}/{metadata['name']} -n {metadata.get('namespace', 'default')}"
        if kind in ("deployment", "statefulset"):
            kubectl.raw(f"rollout status {one} --timeout=30s")
        elif kind == "persistentvolumeclaim":
            kubectl.raw(f"wait {one} --for=jsonpath={{.status.phase}}=Bound --timeout=30s")
    assert " created\n" not in kubectl.raw(f"apply -f {manifest}")
    kubectl.raw(f"delete -f {manifest} --ignore-not-found --timeout=60s")
    kubectl.raw("delete pvc --all --timeout=60s")
    assert kubectl.raw("get pods -A -o name") == ""
    assert kubectl.raw("get pv -o name") == ""
