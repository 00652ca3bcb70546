"""Clusters for tests: `Cluster`, `AsyncCluster`, and the pytest plugin (`plugin`).

    with Cluster("1.34") as cluster:
        cluster.apply("deploy/")
        cluster.wait_for("deployment/operator condition=Available", timeout=30)

What belongs here is what tests use; how clusters are served is `kloster.fleet`. Names are imported when they are
first used, because pytest imports this package at the start of every run, those without Kloster as well.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kloster.apimachinery.errors import StatusError
    from kloster.testing.asynchronous import AsyncCluster
    from kloster.testing.cluster import Cluster
    from kloster.testing.errors import FleetGone, TestingError, WaitTimeout
    from kloster.testing.fleets import Fleet

__all__ = ["AsyncCluster", "Cluster", "Fleet", "FleetGone", "StatusError", "TestingError", "WaitTimeout"]

_WHERE = {
    "AsyncCluster": "kloster.testing.asynchronous",
    "Cluster": "kloster.testing.cluster",
    "Fleet": "kloster.testing.fleets",
    "FleetGone": "kloster.testing.errors",
    "StatusError": "kloster.apimachinery.errors",
    "TestingError": "kloster.testing.errors",
    "WaitTimeout": "kloster.testing.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
