"""What the recorded cases do not show of pods: deletion, quality of service, projected tokens, size."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kloster.kinds import catalog, differences
from kloster.kinds.core.pods import STRATEGY
from kloster.kinds.podspec import validation
from kloster.kinds.podspec.aggregate import aggregate
from kloster.kinds.podspec.qos import qos_class


def pod(spec: dict[str, Any], meta: dict[str, Any] | None = None, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": "p", **(meta or {})}, "spec": spec, "status": {"phase": phase}}


BOUND = {"nodeName": "n", "terminationGracePeriodSeconds": 30}
DELETING = {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 10}


@pytest.mark.parametrize(
    ("item", "asked", "seconds"),
    [
        pytest.param(pod({"terminationGracePeriodSeconds": 30}), None, 0, id="unscheduled"),
        pytest.param(pod({"terminationGracePeriodSeconds": 30}), 60, 0, id="unscheduled-asked"),
        pytest.param(pod(BOUND), None, 30, id="its-own"),
        pytest.param(pod(BOUND), 5, 5, id="asked"),
        pytest.param(pod(BOUND), 0, 0, id="at-once"),
        pytest.param(pod(BOUND), -1, 1, id="negative"),
        pytest.param(pod({"nodeName": "n"}), None, 0, id="without-grace"),
        pytest.param(pod(BOUND, phase="Succeeded"), None, 0, id="succeeded"),
        pytest.param(pod(BOUND, phase="Failed"), 60, 0, id="failed"),
        pytest.param(
            pod(BOUND, {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 10}), 60, 10, id="never-longer"
        ),
        pytest.param(pod(BOUND, {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 10}), 3, 3, id="shorter"),
    ],
)
def test_grace(item: dict[str, Any], asked: int | None, seconds: int) -> None:
    assert STRATEGY.graceful is not None
    assert STRATEGY.graceful(item, asked) == seconds


def container(
    limits: dict[str, str] | None = None, requests: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    resources = {name: value for name, value in (("limits", limits), ("requests", requests)) if value}
    return {"name": "c", "resources": resources, **more}


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param([container()], "BestEffort", id="nothing"),
        pytest.param([container(requests={"cpu": "0"})], "BestEffort", id="zero"),
        pytest.param([container(requests={"example.com/gpu": "1"})], "BestEffort", id="other-resource"),
        pytest.param([container(FULL, FULL)], "Guaranteed", id="all"),
        pytest.param([container(FULL, {"cpu": "1000m", "memory": "1024Mi"})], "Guaranteed", id="spelled-otherwise"),
        pytest.param([container(FULL, FULL), container()], "Burstable", id="one-without"),
        pytest.param([container(FULL, {"cpu": "500m", "memory": "1Gi"})], "Burstable", id="less"),
        pytest.param([container({"cpu": "1"}, {"cpu": "1"})], "Burstable", id="cpu-only"),
    ],
)
def test_qos(containers: list[dict[str, Any]], expected: str) -> None:
    assert qos_class({"containers": containers}) == expected


def test_init_containers_count_at_their_peak() -> None:
    spec = {
        "containers": [container(requests={"cpu": "1"}), container(requests={"cpu": "500m"})],
        "initContainers": [
            container(requests={"cpu": "3", "memory": "1Gi"}),
            container(requests={"cpu": "2"}, restartPolicy="Always"),
            container(requests={"cpu": "4"}),
        ],
    }
    total = {name: amount.text for name, amount in aggregate(spec, "requests").items()}
    assert total == {"cpu": "6", "memory": "1Gi"}


def test_a_token_needs_an_account() -> None:
    sources = [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]
    item = pod({"volumes": [{"name": "v", "projected": {"sources": sources}}]})
    expected = "spec.volumes[0].projected.sources[0].serviceAccountToken"
    assert expected in [error.field for error in validation.validate_pod(item)]
    item["spec"]["serviceAccountName"] = "default"
    assert expected not in [error.field for error in validation.validate_pod(item)]


def test_what_is_refused_only_at_first() -> None:
    gated = pod({"nodeName": "n", "schedulingGates": [{"name": "a"}]})
    assert "spec.nodeName" in [error.field for error in STRATEGY.validate(gated)]
    gated["metadata"]["resourceVersion"] = "1"
    assert "spec.nodeName" not in [error.field for error in STRATEGY.validate(gated)]


@pytest.mark.parametrize(
    ("minor", "kept"), [("1.31", set()), ("1.34", {"resources"}), ("1.35", {"resources", "restartPolicy"})]
)
def test_features_that_a_minor_has_switched_off_are_dropped(minor: str, kept: set[str]) -> None:
    strategy = catalog.strategy("", "pods", minor)
    item = pod({"resources": {"limits": {"cpu": "1"}}, "containers": [{"name": "c", "restartPolicy": "Never"}]})
    strategy.prepare_create(item)
    container = item["spec"]["containers"][0]
    assert {name for name in ("resources", "restartPolicy") if name in {**item["spec"], **container}} == kept
    assert strategy.generation is (minor != "1.31")


def test_what_is_in_use_is_kept() -> None:
    strategy = catalog.strategy("", "pods", "1.34")
    old = pod({"containers": [{"name": "c", "restartPolicy": "Never"}]})
    new = pod({"containers": [{"name": "c", "restartPolicy": "Never"}]})
    strategy.prepare_update(new, old)
    assert new["spec"] == old["spec"]
    strategy.prepare_update(new, pod({"containers": [{"name": "c"}]}))
    assert new["spec"] == {"containers": [{"name": "c"}]}


def test_a_huge_change_is_not_compared_line_by_line() -> None:
    old = [str(number % 7) for number in range(200_000)]
    started = time.process_time()
    assert differences.diff(old, list(reversed(old))) == ""
    assert time.process_time() - started < 5


def test_a_difference_is_shown() -> None:
    assert differences.diff({"a": 1, "b": 2}, {"a": 1, "b": 3}) == (
        '@@ -1,4 +1,4 @@\n {\n  "a": 1,\n- "b": 2\n+ "b": 3\n }\n'
    )
