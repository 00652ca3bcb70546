"""Pods that crash, hang and are evicted because a test says so."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.testing import Cluster, StatusError, TestingError


def pod(name: str, policy: str = "Always") -> dict[str, Any]:
    containers = [{"name": "a", "image": "nginx"}, {"name": "b", "image": "nginx"}]
    spec = {"restartPolicy": policy, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def statuses(cluster: Cluster, name: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in cluster.get("pod", name)["status"]["containerStatuses"]}


def test_a_container_that_crashes_is_started_again(shared: Cluster) -> None:
    shared.apply(pod("crashes"))
    shared.wait_for("pod/crashes condition=Ready")
    shared.pods.crash("crashes", code=3, container="a")
    shared.wait_for("pod/crashes condition=Ready")
    seen = statuses(shared, "crashes")
    assert seen["a"]["restartCount"] == 1
    assert seen["a"]["lastState"]["terminated"]["exitCode"] == 3
    assert seen["a"]["lastState"]["terminated"]["reason"] == "Error"
    assert seen["b"]["restartCount"] == 0
    shared.pods.crash("crashes", code=3, container="a")
    assert statuses(shared, "crashes")["a"]["state"]["waiting"]["reason"] == "CrashLoopBackOff"


def test_a_pod_that_is_not_restarted_fails(shared: Cluster) -> None:
    shared.apply(
        {
            **pod("ends", "Never"),
            "metadata": {"name": "ends", "annotations": {"simulated.kloster.dev/run-seconds": "3600"}},
        }
    )
    shared.wait_for("pod/ends condition=Ready")
    shared.pods.oom_kill("ends")
    assert shared.get("pod/ends")["status"]["phase"] == "Failed"
    ended = [one["state"]["terminated"] for one in statuses(shared, "ends").values()]
    assert [(one["reason"], one["exitCode"]) for one in ended] == [("OOMKilled", 137)] * 2


def test_a_pod_that_hangs_is_not_ready_until_it_recovers(shared: Cluster) -> None:
    shared.apply(pod("hangs"))
    shared.wait_for("pod/hangs condition=Ready")
    shared.pods.hang("hangs", container="b")
    assert {name: one["ready"] for name, one in statuses(shared, "hangs").items()} == {"a": True, "b": False}
    shared.pods.recover("hangs")
    assert all(one["ready"] and one["restartCount"] == 0 for one in statuses(shared, "hangs").values())


def test_eviction_keeps_budgets(shared: Cluster) -> None:
    shared.apply(pod("guarded"))
    shared.wait_for("pod/guarded condition=Ready")
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
    shared.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "g"}, "spec": budget})
    shared.wait_for("pdb/g jsonpath={.status.currentHealthy}=1")
    with pytest.raises(StatusError) as failure:
        shared.pods.evict("guarded")
    assert failure.value.code == 429
    shared.delete("pdb/g")
    shared.pods.evict("guarded")
    assert not shared.exists("pod/guarded")


def test_a_pod_that_does_not_run_cannot_crash(shared: Cluster) -> None:
    shared.apply({**pod("pending"), "spec": {**pod("pending")["spec"], "nodeSelector": {"nowhere": "x"}}})
    with pytest.raises(TestingError, match='pod "pending" does not run; wait for it'):
        shared.pods.crash("pending")
