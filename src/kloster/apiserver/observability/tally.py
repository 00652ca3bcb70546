"""What one cluster was asked, counted: plain dictionaries and lists, since this sits on every request.

How that is told is the business of `metrics`, which whoever only counts need not load.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class Histogram:
    """Counts per bucket (not cumulated), the last one being +Inf."""

    __slots__ = ("counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, other: Histogram) -> None:
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

    def __init__(self, kind: Kind, durations: Histogram) -> None:
        self.kind = kind
        self.count = 0
        self.durations = durations
        self.sizes: Histogram | None = None


HOOK_DURATIONS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
MAX_HOOKS = 500
"""Different webhooks told apart per cluster: their names are a tenant's to choose."""


class Hook(NamedTuple):
    """Calls of one webhook, by upstream's labels. `type` is admit or validating."""

    name: str
    type: str
    operation: str


class HookTally:
    """What came of calls to a cluster's admission webhooks.

    requests    (webhook, rejected, code) → how often
    durations   (webhook, rejected) → how long
    rejections  (webhook, error type, code) → how often a request was refused
    open        (name, type) → how often a call failed and did not matter
    """

    __slots__ = ("durations", "names", "open", "rejections", "requests")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.requests: dict[tuple[Hook, bool, int], int] = {}
        self.durations: dict[tuple[Hook, bool], Histogram] = {}
        self.rejections: dict[tuple[Hook, str, int], int] = {}
        self.open: dict[tuple[str, str], int] = {}

    def observe(self, hook: Hook, seconds: float, code: int, error: str = "", *, failed_open: bool = False) -> None:
        """A webhook was called. `error` is why the request is refused: calling_webhook_error or no_error."""
        if hook.name not in self.names:
            if len(self.names) >= MAX_HOOKS:
                hook = hook._replace(name="other")
            self.names.add(hook.name)
        rejected = bool(error)
        asked = (hook, rejected, code)
        self.requests[asked] = self.requests.get(asked, 0) + 1
        durations = self.durations.setdefault((hook, rejected), Histogram(HOOK_DURATIONS))
        durations.counts[bisect_left(HOOK_DURATIONS, seconds)] += 1
        durations.total += seconds
        if rejected:
            refused = (hook, error, min(code, 600))
            self.rejections[refused] = self.rejections.get(refused, 0) + 1
        if failed_open:
            place = (hook.name, hook.type)
            self.open[place] = self.open.get(place, 0) + 1


class Tally:
    """What one cluster's requests came to.

    requests   all requests
    cpu        seconds of the event loop's thread spent on them
    mutating, reading   requests being answered now; `begin` and `end` keep them
    durations, sizes    of answers, by kind
    hooks      calls of its webhooks; None as long as there were none
    """

    __slots__ = (
        "_series",
        "_totals",
        "cpu",
        "durations",
        "hooks",
        "long_running",
        "mutating",
        "reading",
        "requests",
        "sizes",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.cpu = 0.0
        self.mutating = 0
        self.reading = 0
        self.long_running: dict[Kind, int] = {}
        self._totals: dict[tuple[Kind, int], int] = {}  # beyond what is in `_series`
        self.durations: dict[Kind, Histogram] = {}
        self.sizes: dict[Kind, Histogram] = {}
        self._series: dict[tuple[Kind, int], _Series] = {}
        self.hooks: HookTally | None = None

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
                sizes = series.sizes = self.sizes.setdefault(series.kind, Histogram(SIZES))
            sizes.counts[bisect_left(SIZES, size)] += 1
            sizes.total += size

    def _new_series(self, kind: Kind, code: int) -> _Series:
        if kind not in self.durations and len(self.durations) >= MAX_KINDS:
            kind = _OTHER
            known = self._series.get((kind, code))
            if known is not None:
                return known
        series = _Series(kind, self.durations.setdefault(kind, Histogram(DURATIONS)))
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

    def counts(self) -> Iterable[tuple[tuple[Kind, int], int]]:
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
        for key, count in other.counts():
            self._totals[key] = self._totals.get(key, 0) + count
        for kind, histogram in other.durations.items():
            self.durations.setdefault(kind, Histogram(DURATIONS)).add(histogram)
        for kind, histogram in other.sizes.items():
            self.sizes.setdefault(kind, Histogram(SIZES)).add(histogram)
        if alive:
            self.mutating += other.mutating
            self.reading += other.reading
            for kind, count in other.long_running.items():
                self.long_running[kind] = self.long_running.get(kind, 0) + count
