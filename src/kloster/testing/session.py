"""The clusters of one run of pytest: one fleet for all its processes, prepared once, a cluster for each test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from kloster.testing.cluster import Cluster
from kloster.testing.fleets import Fleet

Prepare = Callable[[Cluster], object] | None
LONGEST = 30


class Session:
    """The fleet of a test run, found through its folder by all processes of the run."""

    def __init__(self, root: Path) -> None:
        self.fleet = Fleet(root)

    def close(self) -> None:
        self.fleet.close()

    def cluster(self, test: str, version: str, prepare: Prepare) -> Cluster:
        """A new cluster, as `prepare` leaves it."""
        cluster = Cluster(version, name=f"test-{_label(test)}-*", fleet=self.fleet).start()
        try:
            if prepare is not None:
                prepare(cluster)
        except BaseException:
            cluster.close()
            raise
        return cluster


def _label(test: str) -> str:
    """A test's name as a part of a cluster's."""
    text = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in test.lower())
    plain = "-".join(part for part in text.removeprefix("test").split("-") if part)
    if len(plain) > LONGEST:
        return f"{plain[: LONGEST - 7].rstrip('-')}-{hashlib.sha256(test.encode()).hexdigest()[:6]}"
    return plain or "case"
