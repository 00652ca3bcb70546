"""The audit trail of what a cluster was asked, in the API's shape (compared with kube-apiserver 1.34.4)."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import kubernetes
import pytest

from kloster.client.blocking import Blocking
from kloster.testing import Cluster, Fleet, StatusError, TestingError

NAMESPACE = "/api/v1/namespaces/default"


@pytest.fixture
def client(shared: Cluster) -> Iterator[Blocking]:
    shared.requests.clear()
    client = Blocking(shared.kubeconfig_dict, "audit-test/1.0")
    yield client
    client.close()


def test_events_have_upstreams_shape(shared: Cluster, client: Blocking) -> None:
    body = {"metadata": {"name": "c1"}, "data": {"a": "hunter2"}}
    client.request("POST", f"{NAMESPACE}/configmaps", {"fieldManager": "x"}, body)
    (found,) = shared.requests.audit()
    assert list(found) == [
        "kind",
        "apiVersion",
        "level",
        "auditID",
        "stage",
        "requestURI",
        "verb",
        "user",
        "sourceIPs",
        "userAgent",
        "objectRef",
        "responseStatus",
        "requestReceivedTimestamp",
        "stageTimestamp",
        "annotations",
    ]
    assert len(found.pop("auditID")) == 36
    received, done = (datetime.fromisoformat(found.pop(f"{one}Timestamp")) for one in ("requestReceived", "stage"))
    assert 0 <= (done - received).total_seconds() < 10
    credential = found["user"].pop("extra")
    assert list(credential) == ["authentication.kubernetes.io/credential-id"]
    assert found == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/default/configmaps?fieldManager=x",
        "verb": "create",
        "user": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["127.0.0.1"],
        "userAgent": "audit-test/1.0",
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": "c1", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }
    client.request("DELETE", f"{NAMESPACE}/configmaps/c1", {})


def test_errors_deletions_and_watches(shared: Cluster, client: Blocking) -> None:
    with pytest.raises(StatusError):
        client.get(f"{NAMESPACE}/secrets/nope")
    client.create(f"{NAMESPACE}/secrets", {"metadata": {"name": "s"}, "stringData": {"k": "hunter2"}})
    client.request("DELETE", f"{NAMESPACE}/secrets/s", {})
    list(client.watch(f"{NAMESPACE}/secrets", 1))
    shared.wait_for(lambda: shared.requests.audit()[-1]["stage"] == "ResponseComplete")
    failed, made, deleted, began, ended = shared.requests.audit()
    assert failed["responseStatus"]["code"] == 404
    assert failed["responseStatus"]["reason"] == "NotFound"
    assert failed["responseStatus"]["message"] == 'secrets "nope" not found'
    assert made["objectRef"]["name"] == "s"
    assert deleted["responseStatus"]["status"] == "Success"
    assert (began["auditID"], began["verb"]) == (ended["auditID"], "watch")
    assert [one["stage"] for one in (began, ended)] == ["ResponseStarted", "ResponseComplete"]
    assert "hunter2" not in json.dumps(shared.requests.audit())


def test_who_acts_as_somebody_else_is_told(shared: Cluster) -> None:
    shared.requests.clear()
    with kubernetes.client.ApiClient(shared.client_configuration()) as api:
        api.set_default_header("Impersonate-User", "jane")
        api.set_default_header("Impersonate-Group", "devs")
        with pytest.raises(kubernetes.client.ApiException):
            kubernetes.client.CoreV1Api(api).list_namespaced_config_map("default")
    (found,) = shared.requests.audit()
    assert found["user"]["username"] == "kubernetes-admin"
    assert found["impersonatedUser"] == {"username": "jane", "groups": ["devs", "system:authenticated"]}
    assert found["annotations"] == {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}
    assert found["responseStatus"]["reason"] == "Forbidden"


def test_a_dump_has_the_trail(shared: Cluster, client: Blocking, tmp_path: Path) -> None:
    client.get(f"{NAMESPACE}/configmaps", labelSelector="a=b", limit="5")
    path = shared.dump(tmp_path / "dump") / "audit.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (line,) = path.read_text().splitlines()
    assert "configmaps?labelSelector=a%3Db\\u0026limit=5" in line
    assert json.loads(line)["verb"] == "list"


POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_fleet_writes_logs_by_policy(tmp_path: Path, workers: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    options = ["--audit-policy-file", str(policy), "--workers", workers]
    with Fleet(tmp_path / "fleet", options=options) as fleet, Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hunter2"}})
        made = fleet.request("GET", f"/apis/kloster.dev/v1alpha1/namespaces/default/virtualclusters/{cluster.name}")
        path = fleet.directory.cluster(made["metadata"]["uid"]) / "audit.log"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = path.read_text()
        told = [json.loads(line) for line in text.splitlines()]
        assert [(one["level"], one["objectRef"]["resource"], one["responseStatus"]["code"]) for one in told] == [
            ("RequestResponse", "configmaps", 201),
            ("Metadata", "secrets", 201),
        ]
        assert told[0]["responseObject"]["data"] == {"a": "b"}
        assert told[0]["sourceIPs"] == ["127.0.0.1"]
        assert "hunter2" not in text


def test_a_fleet_is_not_started_with_a_wrong_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Loud}]\n")
    with pytest.raises(TestingError, match=r"policy.yaml is no audit policy: rules\[0\].level: Unsupported value"):
        Fleet(tmp_path / "fleet", options=["--audit-policy-file", str(policy)])
