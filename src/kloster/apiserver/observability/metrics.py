"""Metrics, named after kube-apiserver's where they mean the same; the rest begins with ``kloster_``.

The model first. Each cluster has a `Tally` that its pipeline counts in (`tally`). Exposition formats are made when
somebody scrapes. A cluster's own ``/metrics`` shows its tally and nothing of others; the process's shows the sum of
all, and one line a cluster of what it used.

Counters never go back: what a deleted cluster counted stays in the process's sum.
https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector, CollectorRegistry

from kloster.apiserver.observability.tally import (
    DURATIONS,
    HOOK_DURATIONS,
    SIZES,
    Hook,
    HookTally,
    Kind,
    Tally,
)

_LABELS = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")


def _values(kind: Kind) -> tuple[str, ...]:
    verb, group, version, resource, subresource, scope, dry_run = kind
    return ("apiserver", dry_run, group, resource, scope, subresource, verb, version)


def families(tally: Tally) -> Iterator[Metric]:
    """A tally in the form of kube-apiserver's metrics."""
    total = CounterMetricFamily(
        "apiserver_request", "Requests answered, by verb, resource and code.", labels=(*_LABELS, "code")
    )
    for (kind, code), count in tally.counts():
        total.add_metric((*_values(kind), str(code)), count)
    yield total
    durations = HistogramMetricFamily(
        "apiserver_request_duration_seconds", "Time from a request's last byte to its answer.", labels=_LABELS
    )
    for kind, histogram in tally.durations.items():
        durations.add_metric(_values(kind), histogram.buckets(DURATIONS), histogram.total)
    yield durations
    sizes = HistogramMetricFamily("apiserver_response_sizes", "Bytes of answers' bodies.", labels=_LABELS)
    for kind, histogram in tally.sizes.items():
        sizes.add_metric(_values(kind), histogram.buckets(SIZES), histogram.total)
    yield sizes
    inflight = GaugeMetricFamily(
        "apiserver_current_inflight_requests", "Requests being answered now.", labels=("request_kind",)
    )
    inflight.add_metric(("mutating",), tally.mutating)
    inflight.add_metric(("readOnly",), tally.reading)
    yield inflight
    running = GaugeMetricFamily("apiserver_longrunning_requests", "Watches and streams that are open.", labels=_LABELS)
    for kind, count in tally.long_running.items():
        running.add_metric(_values(kind), count)
    yield running


def hook_families(tally: HookTally) -> Iterator[Metric]:
    """Calls of a cluster's admission webhooks, likewise."""
    labels = ("name", "operation", "type")
    requests = CounterMetricFamily(
        "apiserver_admission_webhook_request",
        "Calls of admission webhooks.",
        labels=("code", *labels, "rejected"),
    )
    for (hook, rejected, code), count in tally.requests.items():
        requests.add_metric((str(code), *_hook(hook), str(rejected).lower()), count)
    yield requests
    durations = HistogramMetricFamily(
        "apiserver_admission_webhook_admission_duration_seconds",
        "How long they took.",
        labels=(*labels, "rejected"),
    )
    for (hook, rejected), histogram in tally.durations.items():
        shown = (*_hook(hook), str(rejected).lower())
        durations.add_metric(shown, histogram.buckets(HOOK_DURATIONS), histogram.total)
    yield durations
    # Upstream's names of these two do not end in _total, which the client library demands of counters.
    rejections = UnknownMetricFamily(
        "apiserver_admission_webhook_rejection_count",
        "Requests that were refused because of a webhook.",
        labels=("error_type", *labels, "rejection_code"),
    )
    for (hook, error, code), count in tally.rejections.items():
        rejections.add_metric((error, *_hook(hook), str(code)), count)
    yield rejections
    failed_open = UnknownMetricFamily(
        "apiserver_admission_webhook_fail_open_count",
        "Calls that failed and, by failurePolicy, did not matter.",
        labels=("name", "type"),
    )
    for place, count in tally.open.items():
        failed_open.add_metric(place, count)
    yield failed_open


def _hook(hook: Hook) -> tuple[str, str, str]:
    return hook.name, hook.operation, hook.type


Extra = Callable[[], Iterable[Metric]]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one cluster has used so far (requests, seconds of the event loop) and holds now (bytes, about)."""

    cluster: str
    requests: float
    cpu: float
    memory: float


class Metrics:
    """The tallies of a process.

    held        cluster → bytes that it holds in this process; none of one that is not in memory
    elsewhere   clusters that other processes serve
    """

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._gone = Tally()
        self._extra: list[Extra] = []
        self.held: Callable[[], Mapping[str, int]] = dict
        self.elsewhere: Callable[[], Iterable[Usage]] = tuple

    def of(self, cluster: str) -> Tally:
        """The tally of a cluster (``NAMESPACE/NAME``), made when first asked for."""
        return self._tallies.setdefault(cluster, Tally())

    def forget(self, cluster: str) -> None:
        """The cluster is deleted."""
        tally = self._tallies.pop(cluster, None)
        if tally is not None:
            self._gone.add(tally, alive=False)

    def add(self, extra: Extra) -> None:
        """Further metrics of the process, asked for at each scrape."""
        self._extra.append(extra)

    def usages(self) -> list[Usage]:
        """Of every cluster of this process."""
        held = self.held()
        return [Usage(name, tally.requests, tally.cpu, held.get(name, 0)) for name, tally in self._tallies.items()]

    def exposition(self) -> bytes:
        """The process's ``/metrics``."""
        return render(self._families)

    def cluster_exposition(self, cluster: str) -> bytes:
        """A cluster's own ``/metrics``: nothing of others."""
        return exposition(self.of(cluster))

    def _families(self) -> Iterator[Metric]:
        one = ("cluster",)
        requests = CounterMetricFamily("kloster_cluster_requests", "Requests to a cluster.", labels=one)
        cpu = CounterMetricFamily(
            "kloster_cluster_cpu_seconds", "Time of the event loop that a cluster's requests took.", labels=one
        )
        memory = GaugeMetricFamily(
            "kloster_cluster_memory_bytes", "What a cluster's objects and its log hold; 0 while parked.", labels=one
        )
        for usage in (*self.usages(), *self.elsewhere()):
            requests.add_metric((usage.cluster,), usage.requests)
            cpu.add_metric((usage.cluster,), usage.cpu)
            memory.add_metric((usage.cluster,), usage.memory)
        whole = Tally()
        for tally in (self._gone, *self._tallies.values()):
            whole.add(tally)
        clusters = GaugeMetricFamily("kloster_clusters", "Clusters that this process has counted for.")
        clusters.add_metric((), len(self._tallies))
        yield from (requests, cpu, memory, clusters)
        yield from families(whole)
        for extra in self._extra:
            yield from extra()


class _Source(Collector):
    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def render(families: Callable[[], Iterable[Metric]]) -> bytes:
    """Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Source(families))
    return generate_latest(registry)


def exposition(tally: Tally) -> bytes:
    """A cluster's own ``/metrics``."""
    return render(lambda: (*families(tally), *(() if tally.hooks is None else hook_families(tally.hooks))))
