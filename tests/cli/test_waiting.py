"""Waiting for a cluster: one watch tells all of its object's versions, and another goes on where one ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from kloster.cli import clusters
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI


def version(revision: int, ready: str = "", reason: str = "") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "reason": reason, "message": "so it is"}] if ready else []
    return {
        "metadata": {"name": "dev", "namespace": "default", "resourceVersion": str(revision)},
        "status": {"conditions": conditions},
    }


class Host:
    """Tells in each watch what the script says; a GET answers the last version that was told."""

    def __init__(self, *watches: list[tuple[str, dict[str, Any]]]) -> None:
        self.watches = list(watches)
        self.asked: list[str] = []
        self.closed = 0
        self.last = version(1)

    def watch(self, path: str, timeout: float, **query: str) -> Iterator[tuple[str, Any]]:
        self.asked.append(query["resourceVersion"])
        try:
            for type_, found in self.watches.pop(0):
                self.last = found
                yield type_, found
        finally:
            self.closed += 1

    def get(self, path: str) -> dict[str, Any]:
        self.asked.append("get")
        return self.last


def wait(host: Host) -> dict[str, Any]:
    return clusters.wait_ready(cast(HostAPI, host), version(1), 5)


def test_one_watch_is_enough() -> None:
    host = Host([("MODIFIED", version(2)), ("MODIFIED", version(3)), ("MODIFIED", version(4, "True"))])
    assert wait(host)["metadata"]["resourceVersion"] == "4"
    assert host.asked == ["1"]
    assert host.closed == 1


def test_a_watch_that_ends_is_followed_by_a_look_and_another() -> None:
    host = Host([("MODIFIED", version(2))], [("MODIFIED", version(3, "True"))])
    assert wait(host)["metadata"]["resourceVersion"] == "3"
    assert host.asked == ["1", "get", "2"]


def test_a_watch_that_is_too_old_is_followed_by_a_look() -> None:
    host = Host([("ERROR", {"code": 410})])
    host.watches.append([("MODIFIED", version(9, "True"))])
    host.get = lambda path: version(8)  # type: ignore[method-assign]
    assert wait(host)["metadata"]["resourceVersion"] == "9"
    assert host.asked == ["1", "8"]


@pytest.mark.parametrize(
    ("told", "error", "text"),
    [
        (("DELETED", version(2)), CliError, "was deleted while waiting"),
        (("MODIFIED", version(2, "False", "InvalidSpec")), clusters.Refused, "so it is"),
    ],
    ids=["deleted", "refused"],
)
def test_what_ends_the_waiting(told: tuple[str, dict[str, Any]], error: type[CliError], text: str) -> None:
    host = Host([told, ("MODIFIED", version(3, "True"))])
    with pytest.raises(error, match=text):
        wait(host)
    assert host.closed == 1
