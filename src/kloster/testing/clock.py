"""A cluster's time, which a test can move on.

    cluster.clock.advance("30d")

It is the time of this cluster's API server and controllers: creation times, TTLs, cron jobs, deadlines, the expiry of
tokens, client certificates and events. It runs on as time does, from where it was moved to, never goes back, and is 100
years ahead at most. A fork begins with the time of its source, ahead as that was when it was forked (and is set back to
that by a reset).

What lives elsewhere does not share it: the host and its nodes, hence what the kubelet writes (when a container
started); other clusters; clients. So certificates of servers, which clients look at, do not expire, and leases of
clients (leader election, kopf's peering) go by the clients' own clocks and are left alone. `Cluster` itself is let in
by the real time; a client with the cluster's kubeconfig is answered 401 once its certificate, valid for a year, has
expired by the cluster's.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from kloster.testing.errors import TestingError

PATH = "/kloster.dev/testing/clock"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


class Cluster(Protocol):
    """Who is asked."""

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> Any: ...


class Clock:
    """The cluster's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def now(self) -> datetime:
        """What time the cluster believes it is (UTC)."""
        return datetime.fromtimestamp(self._cluster.request("GET", PATH)["now"], UTC)

    def advance(self, by: str | float | timedelta) -> datetime:
        """Move the time on, by ``"30d"``, ``"1h30m"``, seconds or a timedelta. Returns what time it is then.

        When this returns, controllers have been told to look at everything again; wait for what they do.
        """
        answer = self._cluster.request("POST", PATH, {"seconds": seconds(by)})
        return datetime.fromtimestamp(answer["now"], UTC)


def seconds(text: str | float | timedelta) -> float:
    """A duration in seconds. Raises TestingError."""
    if isinstance(text, timedelta):
        found = text.total_seconds()
    elif isinstance(text, str):
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise TestingError(f"{text!r} is no duration; write for example 30d, 1h30m or 90s")
        found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    elif isinstance(text, int | float) and math.isfinite(text):
        found = float(text)
    else:
        raise TestingError(f"{text!r} is no duration; write for example 30d, 1h30m or 90s, or seconds as a number")
    if found < 0:
        raise TestingError("time does not go back")
    return found
