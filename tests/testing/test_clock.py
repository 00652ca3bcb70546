"""Time that a test moves on, for one cluster alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kloster.client.blocking import Blocking
from kloster.testing import Cluster, Fleet, StatusError, TestingError
from kloster.testing.clock import seconds

JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "once"},
    "spec": {
        "ttlSecondsAfterFinished": 86400,
        "template": {
            "metadata": {"annotations": {}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]},
        },
    },
}


@pytest.fixture
def cluster(fleet: Fleet) -> Iterator[Cluster]:
    with Cluster("1.34", fleet=fleet) as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("text", "found"),
    [("90s", 90.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("30d", 2592000.0), ("250ms", 0.25), (7, 7.0)],
)
def test_durations_are_read(text: str | float, found: float) -> None:
    assert seconds(text) == found
    assert seconds(timedelta(seconds=found)) == found


@pytest.mark.parametrize("text", ["", "30", "d", "1d later", -1.0, timedelta(-1)])
def test_what_is_no_duration_is_refused(text: str | float | timedelta) -> None:
    with pytest.raises(TestingError):
        seconds(text)


def test_finished_jobs_go_when_their_time_is_up(cluster: Cluster) -> None:
    cluster.apply(JOB)
    cluster.wait_for("job/once condition=Complete")
    cluster.clock.advance("23h")
    assert cluster.exists("job/once")
    cluster.clock.advance("2h")
    cluster.wait_for("job/once delete", 10)


def test_cron_jobs_run_when_they_are_due(cluster: Cluster) -> None:
    template = {"spec": JOB["spec"]}
    spec = {"schedule": "0 0 1 * *", "jobTemplate": template}
    cluster.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "monthly"}, "spec": spec})
    assert not cluster.list("jobs")
    cluster.clock.advance("32d")
    assert cluster.wait_for(lambda: cluster.list("jobs"), 10)[0]["metadata"]["name"].startswith("monthly-")


def test_tokens_and_events_expire(cluster: Cluster) -> None:
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody"}})
    path = "/api/v1/namespaces/default/serviceaccounts/somebody/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = cluster.request("POST", path, asked)["status"]["token"]
    document = {**cluster.kubeconfig_dict, "users": [{"name": "x", "user": {"token": token}}]}
    client = Blocking(document)
    cluster.apply({**JOB, "kind": "Job"})
    cluster.wait_for(lambda: cluster.events("job/once"), 10)
    assert client.get("/api")["kind"] == "APIVersions"
    cluster.clock.advance("61m")
    with pytest.raises(StatusError) as failure:
        client.get("/api")
    assert failure.value.code == 401
    client.close()
    cluster.wait_for(lambda: not cluster.events("job/once"), 5)


def test_it_is_this_clusters_time_alone(cluster: Cluster, shared: Cluster) -> None:
    cluster.clock.advance("30d")
    real = datetime.now(UTC)
    assert abs(cluster.clock.now() - real - timedelta(days=30)) < timedelta(minutes=1)
    assert abs(shared.clock.now() - real) < timedelta(minutes=1)
    made = cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}})[0]
    assert made["metadata"]["creationTimestamp"][:10] == f"{real + timedelta(days=30):%Y-%m-%d}"
    cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
                },
            },
        }
    )
    cluster.wait_for("deployment/web condition=Available")


def test_certificates_expire_for_clients_and_not_for_the_test(cluster: Cluster) -> None:
    client = Blocking(cluster.kubeconfig_dict, "operator/1.2")
    cluster.clock.advance("364d")
    assert client.get("/api")["kind"] == "APIVersions"
    cluster.clock.advance("2d")
    with pytest.raises(StatusError) as failure:
        client.get("/api")
    assert (failure.value.code, failure.value.reason) == (401, "Unauthorized")
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}})
    cluster.clock.advance("3650d")
    assert cluster.exists("configmap/later")
    client.close()


def test_a_fork_begins_with_the_time_of_its_source(cluster: Cluster) -> None:
    cluster.clock.advance("400d")
    with cluster.fork() as fork:
        assert abs(fork.clock.now() - cluster.clock.now()) < timedelta(minutes=1)
        client = Blocking(fork.kubeconfig_dict, "operator/1.2")  # its certificate is valid then
        made = client.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "x"}})
        client.close()
        assert made["metadata"]["creationTimestamp"][:10] == f"{cluster.clock.now():%Y-%m-%d}"
        fork.clock.advance("1d")
        with fork.fork() as second:
            assert abs(second.clock.now() - cluster.clock.now() - timedelta(days=1)) < timedelta(minutes=1)
    assert abs(cluster.clock.now() - datetime.now(UTC) - timedelta(days=400)) < timedelta(minutes=1)


def test_leases_of_clients_are_left_alone(cluster: Cluster) -> None:
    spec = {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
    }
    cluster.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": spec})
    cluster.clock.advance("30d")
    assert cluster.get("lease", "l")["spec"] == spec


def test_wrong_advances_are_refused(cluster: Cluster) -> None:
    cluster.clock.advance("36000d")
    with pytest.raises(StatusError, match="seconds: expected a number from 0 to 43200000, found 86400000"):
        cluster.clock.advance("1000d")
