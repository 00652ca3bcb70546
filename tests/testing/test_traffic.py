"""What a test sees of a cluster's requests, and how it lets them fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
import urllib3

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


def test_resources_have_short_names_too(cluster: Cluster, client: Blocking) -> None:
    cluster.faults.add(resources=["deployments", "sa"], error=500)
    for path in ("/apis/apps/v1/deployments", "/api/v1/serviceaccounts"):
        with pytest.raises(StatusError, match="a test has asked for this error"):
            client.get(path)
    for name in ("deployments", "deploy", "Deployment", "deployments.apps"):
        assert [one.resource for one in cluster.requests.find(resource=name)] == ["deployments.apps"]
    cluster.faults.add(resources="widgets.example.com/status", error=500)  # their definition may come later


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        pytest.param({"resource": "deploymets"}, 'no resource "deploymets"; did you mean deployments', id="resource"),
        pytest.param({"verb": "LIST"}, "verb: expected one of get, list", id="verb"),
        pytest.param({"status": "409"}, "status: expected a number such as 409, found '409'", id="status"),
    ],
)
def test_what_can_never_be_found_is_refused(cluster: Cluster, wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(TestingError, match=words):
        cluster.requests.find(**wanted)


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
        ({"stale": 301}, r"rules\[0\].stale: expected at most 300 seconds, found 301"),
        ({"cut": 1, "cut_with": "fire"}, r"rules\[0\].cut_with: expected one of end, reset, expired, found 'fire'"),
        ({"error": 500, "verbs": "LIST"}, r"rules\[0\].verbs: expected get, .*, write, or a pattern, found 'LIST'"),
        ({"error": 500, "probability": 50}, r"rules\[0\].probability: expected a number from 0 to 1, found 50"),
        ({"webhook": "slow"}, r"rules\[0\].webhook: expected one of timeout, refused, found 'slow'"),
        ({"webhook": "refused", "error": 500}, r"rules\[0\]: webhook is about calls to webhooks and stands alone"),
    ],
    ids=[
        "code",
        "nothing",
        "negative",
        "pattern",
        "too stale",
        "how to cut",
        "verb",
        "probability",
        "webhook",
        "webhook and more",
    ],
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


# -- caches that lag, ways to cut -------------------------------------------------------------------------------------


def names(client: Blocking, **query: str) -> set[str]:
    return {one["metadata"]["name"] for one in client.get(CONFIG_MAPS, **query)["items"]}


def test_a_cache_that_lags_shows_what_was(cluster: Cluster, client: Blocking) -> None:
    cluster.faults.add(resources="configmaps", agents="operator/*", stale=1.0)
    made = client.create(CONFIG_MAPS, config_map("late"))
    began = time.monotonic()
    with pytest.raises(StatusError) as failure:
        client.get(f"{CONFIG_MAPS}/late", resourceVersion="0")
    assert failure.value.code == 404
    assert "late" not in names(client, resourceVersion="0")
    assert "late" not in names(client, resourceVersion="0", limit="500")
    assert "late" in names(client)  # a quorum read
    assert "late" in names(client, limit="500")
    assert client.get(f"{CONFIG_MAPS}/late")["metadata"]["uid"] == made["metadata"]["uid"]
    assert cluster.exists("configmap/late")
    # One that asks for a state that is not older than its own write waits for it.
    fresh = client.get(f"{CONFIG_MAPS}/late", resourceVersion=made["metadata"]["resourceVersion"])
    assert fresh["metadata"]["uid"] == made["metadata"]["uid"]
    assert 0.9 <= time.monotonic() - began < 5
    assert "late" in names(client, resourceVersion="0")
    client.request("DELETE", f"{CONFIG_MAPS}/late", {})
    assert client.get(f"{CONFIG_MAPS}/late", resourceVersion="0")["metadata"]["uid"] == made["metadata"]["uid"]
    cluster.faults.clear()
    assert "late" not in names(client, resourceVersion="0")


def test_a_state_that_the_cache_does_not_reach_in_time_is_refused(cluster: Cluster, client: Blocking) -> None:
    cluster.faults.add(resources="configmaps", stale=60.0)
    made = client.create(CONFIG_MAPS, config_map("far"))["metadata"]["resourceVersion"]
    with pytest.raises(StatusError) as failure:
        client.get(CONFIG_MAPS, resourceVersion=made, resourceVersionMatch="NotOlderThan")
    assert (failure.value.code, failure.value.reason) == (504, "Timeout")
    assert failure.value.message.startswith(f"Timeout: Too large resource version: {made}, current: ")
    assert "far" in names(client, resourceVersion=made, resourceVersionMatch="Exact")
    cluster.delete("configmap/far")


@pytest.mark.parametrize("begin", ["0", "", "known"])
def test_watches_lag_and_never_go_back(cluster: Cluster, client: Blocking, begin: str) -> None:
    known = client.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    cluster.faults.add(verbs="watch", resources="configmaps", stale=0.8)
    started = time.monotonic()
    name = f"watched-{begin or 'newest'}"
    came: list[tuple[str, float]] = []

    def write() -> None:
        cluster.apply(config_map(name))
        cluster.patch("configmap", name, {"data": {"a": "b"}})
        cluster.delete(f"configmap/{name}", wait=0)

    version = known if begin == "known" else begin
    if begin != "":
        write()  # is not in the cache yet
    stream = client.watch(CONFIG_MAPS, 3, **({"resourceVersion": version} if version else {}))
    versions = []
    for kind, item in stream:
        if begin == "" and item["metadata"]["name"] == "kube-root-ca.crt":
            write()
            started = time.monotonic()
        versions.append(int(item["metadata"]["resourceVersion"]))
        if item["metadata"]["name"] == name:
            came.append((kind, time.monotonic() - started))
    assert [kind for kind, _ in came] == ["ADDED", "MODIFIED", "DELETED"]
    assert all(0.7 <= late < 2.5 for _, late in came)
    assert begin != "known" or versions == sorted(versions)


def test_watches_that_lag_catch_up_when_the_fault_is_over(cluster: Cluster, client: Blocking) -> None:
    cluster.faults.add(verbs="watch", resources="configmaps", stale=60.0)
    known = client.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    threading.Timer(0.5, cluster.faults.clear).start()
    cluster.apply(config_map("caught"))
    began = time.monotonic()
    kind, item = next(iter(client.watch(CONFIG_MAPS, 30, resourceVersion=known)))
    assert (kind, item["metadata"]["name"]) == ("ADDED", "caught")
    assert time.monotonic() - began < 10
    cluster.delete("configmap/caught")


def test_watches_end_with_an_expired_event(cluster: Cluster, client: Blocking) -> None:
    cluster.faults.add(verbs="watch", cut=0.2, cut_with="expired")
    events = list(client.watch(CONFIG_MAPS, 30))
    assert [kind for kind, _ in events][-1] == "ERROR"
    assert events[-1][1] == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "The resourceVersion for the provided watch is too old.",
        "reason": "Expired",
        "code": 410,
    }


def test_connections_of_watches_are_reset(cluster: Cluster) -> None:
    cluster.faults.add(verbs="watch", cut=0.2, cut_with="reset")
    with kubernetes.client.ApiClient(cluster.client_configuration()) as api:
        watch = kubernetes.watch.Watch()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            for _ in watch.stream(kubernetes.client.CoreV1Api(api).list_namespaced_config_map, "default"):
                pass
    assert cluster.faults.hits() == [1]


def test_the_official_client_is_told_that_its_watch_expired(cluster: Cluster) -> None:
    """It begins anew by itself, and raises when that ends in the same way, as with a real server."""
    cluster.faults.add(verbs="watch", cut=0.2, cut_with="expired")
    with kubernetes.client.ApiClient(cluster.client_configuration()) as api:
        wanted = kubernetes.client.CoreV1Api(api).list_namespaced_config_map, "default"
        with pytest.raises(kubernetes.client.ApiException) as failure:
            for _ in kubernetes.watch.Watch().stream(*wanted):
                pass
        assert (failure.value.status, failure.value.reason.split(":")[0]) == (410, "Expired")
        assert cluster.faults.hits()[0] >= 2
        cluster.faults.clear()
        kinds = [one["type"] for one in kubernetes.watch.Watch().stream(*wanted, timeout_seconds=1)]
        assert "ADDED" in kinds
