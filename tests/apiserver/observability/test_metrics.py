"""Counting, exposing, and keeping tenants apart."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kloster.apiserver.observability.metrics import Metrics, Usage, exposition
from kloster.apiserver.observability.tally import DURATIONS, MAX_KINDS, Kind, Tally

GET = Kind("GET", "", "v1", "pods", "", "resource")
LABELS = {
    "component": "apiserver",
    "dry_run": "",
    "group": "",
    "resource": "pods",
    "scope": "resource",
    "subresource": "",
    "verb": "GET",
    "version": "v1",
}


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(text: bytes, name: str, **labels: str) -> float | None:
    return samples(text).get((name, frozenset(labels.items())))


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        pytest.param(0.0, "0.005", id="nothing"),
        pytest.param(0.005, "0.005", id="bounds-are-inclusive"),
        pytest.param(0.0051, "0.025", id="above"),
        pytest.param(60.0, "60", id="last"),
        pytest.param(61.0, "+Inf", id="beyond"),
    ],
)
def test_buckets(seconds: float, bound: str) -> None:
    tally = Tally()
    tally.observe(GET, 200, seconds)
    text = exposition(tally)
    found = {le: value(text, "apiserver_request_duration_seconds_bucket", le=le, **LABELS) for le in _bounds()}
    filled = [le for le in _bounds() if found[le] == 1]
    assert filled[0] == bound
    assert found["+Inf"] == 1
    assert value(text, "apiserver_request_duration_seconds_count", **LABELS) == 1
    assert value(text, "apiserver_request_duration_seconds_sum", **LABELS) == seconds


def _bounds() -> list[str]:
    return [*(f"{bound:g}" for bound in DURATIONS), "+Inf"]


def test_totals_by_code() -> None:
    tally = Tally()
    for code in (200, 200, 404):
        tally.observe(GET, code, 0.001, 500)
    text = exposition(tally)
    assert value(text, "apiserver_request_total", code="200", **LABELS) == 2
    assert value(text, "apiserver_request_total", code="404", **LABELS) == 1
    assert value(text, "apiserver_response_sizes_sum", **LABELS) == 1500


def test_what_is_going_on() -> None:
    tally = Tally()
    tally.reading += 1
    watch = GET._replace(verb="WATCH")
    tally.opened(watch)
    tally.opened(watch)
    tally.closed(watch, 200)
    text = exposition(tally)
    labels = {**LABELS, "verb": "WATCH"}
    assert value(text, "apiserver_current_inflight_requests", request_kind="readOnly") == 1
    assert value(text, "apiserver_longrunning_requests", **labels) == 1
    assert value(text, "apiserver_request_total", code="200", **labels) == 1
    tally.closed(watch, 200)
    assert value(exposition(tally), "apiserver_longrunning_requests", **labels) is None


def test_a_cluster_sees_itself_and_the_process_sees_the_sum() -> None:
    metrics = Metrics()
    metrics.of("ns/a").observe(GET, 200, 0.001)
    metrics.of("ns/b").observe(GET, 200, 0.001)
    metrics.of("ns/b").cpu += 1.5
    assert value(metrics.cluster_exposition("ns/a"), "apiserver_request_total", code="200", **LABELS) == 1
    assert b"ns/b" not in metrics.cluster_exposition("ns/a")
    whole = metrics.exposition()
    assert value(whole, "apiserver_request_total", code="200", **LABELS) == 2
    assert value(whole, "kloster_cluster_requests_total", cluster="ns/a") == 1
    assert value(whole, "kloster_cluster_cpu_seconds_total", cluster="ns/b") == 1.5


def test_memory_and_clusters_of_other_processes() -> None:
    metrics = Metrics()
    metrics.of("ns/a").observe(GET, 200, 0.001)
    metrics.of("ns/parked")
    metrics.held = lambda: {"ns/a": 4096}
    metrics.elsewhere = lambda: [Usage("ns/far", 7, 0.5, 100)]
    whole = metrics.exposition()
    assert value(whole, "kloster_cluster_memory_bytes", cluster="ns/a") == 4096
    assert value(whole, "kloster_cluster_memory_bytes", cluster="ns/parked") == 0
    assert value(whole, "kloster_cluster_memory_bytes", cluster="ns/far") == 100
    assert value(whole, "kloster_cluster_requests_total", cluster="ns/far") == 7
    assert value(whole, "kloster_cluster_cpu_seconds_total", cluster="ns/far") == 0.5
    assert metrics.usages() == [Usage("ns/a", 1, 0, 4096), Usage("ns/parked", 0, 0, 0)]
    assert b"memory" not in metrics.cluster_exposition("ns/a")


def test_counters_never_go_back() -> None:
    metrics = Metrics()
    metrics.of("ns/a").observe(GET, 200, 0.001)
    metrics.of("ns/a").opened(GET)
    metrics.forget("ns/a")
    whole = metrics.exposition()
    assert value(whole, "apiserver_request_total", code="200", **LABELS) == 1
    assert value(whole, "apiserver_longrunning_requests", **LABELS) is None
    assert value(whole, "kloster_cluster_requests_total", cluster="ns/a") is None


def test_a_tenant_cannot_make_metrics_without_end() -> None:
    tally = Tally()
    for number in range(MAX_KINDS * 2):
        tally.observe(GET._replace(resource=f"r{number}"), 200, 0.001)
    assert len(tally.durations) <= MAX_KINDS + 1
    assert tally.requests == MAX_KINDS * 2
