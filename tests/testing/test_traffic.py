"""What a test sees of a cluster's requests, and how it lets them fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kloster.apiserver.rehearsal.recording import Recorded, Recording
from kloster.client.blocking import Blocking
from kloster.testing import Cluster, Fleet, StatusError, TestingError
from kloster.testing.traffic import Requests


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    shared.faults.clear()
    shared.requests.clear()
    yield shared
    shared.faults.clear()


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Blocking]:
    """Some client of the cluster."""
    client = Blocking(cluster.kubeconfig_dict, "operator/1.2")
    yield client
    client.close()


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_requests_are_recorded_without_what_they_carry(cluster: Cluster, client: Blocking) -> None:
    client.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s1"}, "stringData": {"k": "hunter2"}})
    client.get("/api/v1/pods", labelSelector="a=b")
    with pytest.raises(StatusError):
        client.get(f"{CONFIG_MAPS}/none")
    client.get("/version")
    list(client.watch(CONFIG_MAPS, 1, resourceVersion="0"))
    client.request("DELETE", "/api/v1/namespaces/default/secrets/s1", {})
    cluster.get("ns/default")
    found = cluster.requests.find()
    assert [(one.verb, one.resource, one.namespace, one.name, one.status) for one in found] == [
        ("create", "secrets", "default", "", 201),
        ("list", "pods", "", "", 200),
        ("get", "configmaps", "default", "none", 404),
        ("get", "", "", "", 200),
        ("watch", "configmaps", "default", "", 200),
        ("delete", "secrets", "default", "s1", 200),
    ]
    assert {one.agent for one in found} == {"operator/1.2"}
    assert {one.user for one in found} == {"kubernetes-admin"}
    assert found[1].labels == "a=b"
    assert found[3].path == "/version"
    assert all(0 <= one.latency < 5 and abs(one.time - time.time()) < 60 for one in found)
    assert "hunter2" not in cluster.requests.text()


def test_requests_are_found(cluster: Cluster, client: Blocking) -> None:
    for name in ("a", "b"):
        client.create(CONFIG_MAPS, config_map(f"found-{name}"))
        applied = {"fieldManager": "x"}, config_map(f"found-{name}"), "application/apply-patch+yaml"
        client.request("PATCH", f"{CONFIG_MAPS}/found-{name}", *applied)
    client.get("/api/v1/configmaps")
    assert len(cluster.requests.writes()) == 4
    assert [one.name for one in cluster.requests.find(verb="apply")] == ["found-a", "found-b"]
    assert len(cluster.requests.find(verb="list", namespace="")) == 1
    assert not cluster.requests.find(agent="kopf*")
    assert len(cluster.requests.find(status=201)) == 2
    cluster.requests.clear()
    assert not cluster.requests.find()


@pytest.mark.parametrize(
    ("code", "reason"),
    [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
def test_requests_fail_as_asked(cluster: Cluster, client: Blocking, code: int, reason: str) -> None:
    cluster.faults.add(verbs="write", resources="configmaps", error=code, times=2)
    for _ in range(2):
        with pytest.raises(StatusError) as failure:
            client.create(CONFIG_MAPS, config_map(f"fails-{code}"))
        assert (failure.value.code, failure.value.reason) == (code, reason)
    client.create(CONFIG_MAPS, config_map(f"fails-{code}"))
    assert cluster.faults.hits() == [2]
    assert [one.status for one in cluster.requests.writes()] == [code, code, 201]


def test_rules_choose_by_verb_resource_name_and_agent(cluster: Cluster, client: Blocking) -> None:
    cluster.faults.add(verbs="get", resources="configmaps", names="other", error=500)
    cluster.faults.add(agents="kopf*", error=500)
    cluster.faults.add(resources="*.apps", error=500)
    client.get("/api/v1/namespaces/default/configmaps")
    client.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt")
    with pytest.raises(StatusError, match="a test has asked for this error"):
        client.get("/apis/apps/v1/deployments")
    cluster.apply(config_map("not-for-the-test-itself"))
    assert cluster.faults.hits() == [0, 0, 1]


def test_answers_are_late(cluster: Cluster, client: Blocking) -> None:
    with cluster.faults.during(resources="configmaps", latency=0.3):
        began = time.monotonic()
        client.get(CONFIG_MAPS)
        assert time.monotonic() - began >= 0.3
    assert cluster.requests.find()[0].latency >= 0.29  # clocks differ by some microseconds
    assert cluster.faults.hits() == []


def test_watches_are_cut(cluster: Cluster, client: Blocking) -> None:
    cluster.faults.add(verbs="watch", cut=0.2)
    began = time.monotonic()
    assert [kind for kind, _ in client.watch(CONFIG_MAPS, 30)]
    assert 0.2 <= time.monotonic() - began < 10


def test_chance_comes_from_the_seed(cluster: Cluster, client: Blocking) -> None:
    def outcome(seed: int) -> list[bool]:
        cluster.faults.seed = seed
        cluster.faults.clear()
        cluster.faults.add(error=500, probability=0.5)
        found = []
        for _ in range(16):
            try:
                client.get(CONFIG_MAPS)
                found.append(True)
            except StatusError:
                found.append(False)
        return found

    first = outcome(1)
    assert first == outcome(1)
    assert first != outcome(2)
    assert {True, False} == set(first)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"error": 418}, r"rules\[0\].error: expected one of 409, 429, 500, 503, 504, found 418"),
        ({}, r"rules\[0\] does nothing"),
        ({"latency": -1.0}, r"rules\[0\].latency: expected a number"),
        ({"error": 500, "verbs": [1]}, r"rules\[0\].verbs: expected patterns"),
    ],
    ids=["code", "nothing", "negative", "pattern"],
)
def test_wrong_rules_are_refused(cluster: Cluster, rule: dict[str, Any], words: str) -> None:
    with pytest.raises(StatusError, match=words):
        cluster.faults.add(**rule)
    assert cluster.faults.hits() == []


def test_it_is_off_unless_asked_for_and_for_the_administrator_alone(fleet: Fleet, cluster: Cluster) -> None:
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody"}})
    path = "/api/v1/namespaces/default/serviceaccounts/somebody/token"
    token = cluster.request("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})["status"][
        "token"
    ]
    document = {**cluster.kubeconfig_dict, "users": [{"name": "x", "user": {"token": token}}]}
    with pytest.raises(StatusError) as failure:
        Blocking(document).get("/kloster.dev/testing/requests")
    assert failure.value.code == 403
    with Cluster(fleet=fleet, spec={"testing": {"enabled": False}}) as plain:
        with pytest.raises(StatusError) as failure:
            plain.requests.find()
        assert failure.value.code == 404


class Recorder:
    """A cluster that remembers three requests."""

    def __init__(self) -> None:
        self.recording = Recording(3)

    def came(self, path: str) -> None:
        self.recording.add(Recorded(0.0, "a", "u", "get", "", "", "", "", "", path, 200, 0.0))

    def request(self, method: str, path: str, body: Any = None, kind: str = "", **query: str) -> Any:
        return self.recording.since(int(query["after"]))


def test_the_oldest_are_forgotten_and_that_is_said() -> None:
    cluster = Recorder()
    requests = Requests(cluster)
    for number in range(3):
        cluster.came(f"/{number}")
    assert [one.path for one in requests.find()] == ["/0", "/1", "/2"]
    cluster.came("/3")
    with pytest.raises(TestingError, match="1 requests came too long ago to be remembered"):
        requests.find()
    requests.clear()
    cluster.came("/4")
    assert [one.path for one in requests.find()] == ["/4"]
