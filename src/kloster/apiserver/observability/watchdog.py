"""Whether the event loop keeps up: one task per process that sleeps and looks how late it wakes.

All clusters of a process share one event loop, so a late loop is everybody's latency. The lag is measured, counted
and, beyond a threshold, logged.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from kloster.aio.clock import Clock

log = structlog.get_logger(__name__)


class Watchdog:
    """Measures the loop's lag every `interval` seconds. `run` never returns; start it in the process's task group."""

    def __init__(self, clock: Clock, interval: float = 0.5, threshold: float = 0.25) -> None:
        self._clock = clock
        self._interval = interval
        self._threshold = threshold
        self.last = 0.0
        self.worst = 0.0
        self.stalls = 0

    async def run(self) -> None:
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(self._interval)
            self.note(self._clock.monotonic() - before - self._interval)

    def note(self, lag: float) -> None:
        """A measurement, in seconds."""
        self.last = max(lag, 0.0)
        self.worst = max(self.worst, self.last)
        if self.last > self._threshold:
            self.stalls += 1
            log.warning("event loop was late", seconds=round(self.last, 3), stalls=self.stalls)

    def families(self) -> Iterator[Metric]:
        """For `Metrics.add`. The worst lag is reset by each scrape."""
        lag = GaugeMetricFamily("kloster_loop_lag_seconds", "How late the event loop woke, last time.")
        lag.add_metric((), self.last)
        worst = GaugeMetricFamily("kloster_loop_lag_max_seconds", "The worst lag since the scrape before.")
        worst.add_metric((), self.worst)
        self.worst = self.last
        stalls = CounterMetricFamily("kloster_loop_stalls", "Times that the event loop was late beyond the threshold.")
        stalls.add_metric((), self.stalls)
        yield from (lag, worst, stalls)
