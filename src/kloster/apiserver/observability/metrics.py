"""Metrics, named after kube-apiserver's where they mean the same; the rest begins with ``kloster_``.

The model first. Each cluster has a `Tally` that its pipeline counts in: plain dictionaries and lists, since this sits
on every request. Exposition formats are made when somebody scrapes. A cluster's own ``/metrics`` shows its tally and
nothing of others; the process's shows the sum of all, and one line a cluster of what it used.

Counters never go back: what a deleted cluster counted stays in the process's sum.
https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

DURATIONS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5),
    *(2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
"""Upper bounds of apiserver_request_duration_seconds' buckets, in seconds."""

SIZES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
"""Upper bounds of apiserver_response_sizes' buckets, in bytes."""

MAX_KINDS = 2000
"""Different requests told apart per cluster. A tenant who makes CRDs without end is counted as "other" beyond it."""


class Kind(NamedTuple):
    """Which sort of request, by upstream's labels. `verb` is GET, LIST, WATCH, POST, PUT, PATCH, APPLY, DELETE,
    DELETECOLLECTION or CONNECT; `scope` is cluster, namespace, resource or empty.
    """

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    scope: str = ""
    dry_run: str = ""


_OTHER = Kind("other", resource="other")


class _Histogram:
    """Counts per bucket (not cumulated), the last one being +Inf."""

    __slots__ = ("counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, other: _Histogram) -> None:
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def buckets(self, bounds: Sequence[float]) -> list[tuple[str, float]]:
        """As the exposition wants them: (upper bound, cumulated count)."""
        labels = [*(f"{bound:g}" for bound in bounds), "+Inf"]
        found: list[tuple[str, float]] = []
        running = 0
        for label, count in zip(labels, self.counts, strict=True):
            running += count
            found.append((label, running))
        return found


class _Series:
    """What `Tally.observe` needs for one kind and code, found by one look-up. Kind and code share histograms."""

    __slots__ = ("count", "durations", "kind", "sizes")

    def __init__(self, kind: Kind, durations: _Histogram) -> None:
        self.kind = kind
        self.count = 0
        self.durations = durations
        self.sizes: _Histogram | None = None


class Tally:
    """What one cluster's requests came to.

    requests   all requests
    cpu        seconds of the event loop's thread spent on them
    mutating, reading   requests being answered now; `begin` and `end` keep them
    """

    __slots__ = ("_durations", "_series", "_sizes", "_totals", "cpu", "long_running", "mutating", "reading", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.cpu = 0.0
        self.mutating = 0
        self.reading = 0
        self.long_running: dict[Kind, int] = {}
        self._totals: dict[tuple[Kind, int], int] = {}  # beyond what is in `_series`
        self._durations: dict[Kind, _Histogram] = {}
        self._sizes: dict[Kind, _Histogram] = {}
        self._series: dict[tuple[Kind, int], _Series] = {}

    def observe(self, kind: Kind, code: int, seconds: float, size: int = 0) -> None:
        """A request was answered. Watches and other long-running requests are counted, not timed: see `opened`."""
        self.requests += 1
        series = self._series.get((kind, code)) or self._new_series(kind, code)
        series.count += 1
        durations = series.durations
        durations.counts[bisect_left(DURATIONS, seconds)] += 1
        durations.total += seconds
        if size:
            sizes = series.sizes
            if sizes is None:
                sizes = series.sizes = self._sizes.setdefault(series.kind, _Histogram(SIZES))
            sizes.counts[bisect_left(SIZES, size)] += 1
            sizes.total += size

    def _new_series(self, kind: Kind, code: int) -> _Series:
        if kind not in self._durations and len(self._durations) >= MAX_KINDS:
            kind = _OTHER
            known = self._series.get((kind, code))
            if known is not None:
                return known
        series = _Series(kind, self._durations.setdefault(kind, _Histogram(DURATIONS)))
        self._series[kind, code] = series
        return series

    def opened(self, kind: Kind) -> None:
        """A long-running request (watch, logs, exec, ...) began."""
        self.long_running[kind] = self.long_running.get(kind, 0) + 1

    def closed(self, kind: Kind, code: int) -> None:
        """A long-running request ended."""
        left = self.long_running.get(kind, 0) - 1
        if left > 0:
            self.long_running[kind] = left
        else:
            self.long_running.pop(kind, None)
        self.requests += 1
        key = (kind, code)
        self._totals[key] = self._totals.get(key, 0) + 1

    def _counts(self) -> Iterable[tuple[tuple[Kind, int], int]]:
        """All requests by kind and code."""
        found = dict(self._totals)
        for (_, code), series in self._series.items():
            key = (series.kind, code)
            found[key] = found.get(key, 0) + series.count
        return found.items()

    def add(self, other: Tally, alive: bool = True) -> None:
        """Add another tally's counts; of one that is gone, only what is counted, not what is going on."""
        self.requests += other.requests
        self.cpu += other.cpu
        for key, count in other._counts():
            self._totals[key] = self._totals.get(key, 0) + count
        for kind, histogram in other._durations.items():
            self._durations.setdefault(kind, _Histogram(DURATIONS)).add(histogram)
        for kind, histogram in other._sizes.items():
            self._sizes.setdefault(kind, _Histogram(SIZES)).add(histogram)
        if alive:
            self.mutating += other.mutating
            self.reading += other.reading
            for kind, count in other.long_running.items():
                self.long_running[kind] = self.long_running.get(kind, 0) + count

    def families(self) -> Iterator[Metric]:
        """In the form of kube-apiserver's metrics."""
        total = CounterMetricFamily(
            "apiserver_request", "Requests answered, by verb, resource and code.", labels=(*_LABELS, "code")
        )
        for (kind, code), count in self._counts():
            total.add_metric((*_values(kind), str(code)), count)
        yield total
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "Time from a request's last byte to its answer.", labels=_LABELS
        )
        for kind, histogram in self._durations.items():
            durations.add_metric(_values(kind), histogram.buckets(DURATIONS), histogram.total)
        yield durations
        sizes = HistogramMetricFamily("apiserver_response_sizes", "Bytes of answers' bodies.", labels=_LABELS)
        for kind, histogram in self._sizes.items():
            sizes.add_metric(_values(kind), histogram.buckets(SIZES), histogram.total)
        yield sizes
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests", "Requests being answered now.", labels=("request_kind",)
        )
        inflight.add_metric(("mutating",), self.mutating)
        inflight.add_metric(("readOnly",), self.reading)
        yield inflight
        running = GaugeMetricFamily(
            "apiserver_longrunning_requests", "Watches and streams that are open.", labels=_LABELS
        )
        for kind, count in self.long_running.items():
            running.add_metric(_values(kind), count)
        yield running


_LABELS = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")


def _values(kind: Kind) -> tuple[str, ...]:
    verb, group, version, resource, subresource, scope, dry_run = kind
    return ("apiserver", dry_run, group, resource, scope, subresource, verb, version)


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
        return render(self.of(cluster).families)

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
        yield from whole.families()
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
