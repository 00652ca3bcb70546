"""Deleting clusters while the tests go on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from kloster.apimachinery.errors import StatusError
from kloster.fleet.virtualcluster import VIRTUAL_CLUSTERS
from kloster.testing.errors import TestingError

NAMESPACE = "default"
TIMEOUT = 30.0
AT_ONCE = 16
"""Deletions that may be under way before the next one waits."""


class Deletions:
    """Clusters that are being deleted while the tests go on, so many at once."""

    def __init__(self, ask: Callable[[str, str], Any]) -> None:
        self._ask = ask
        self._going: deque[str] = deque()

    def begin(self, name: str) -> None:
        """Have the cluster deleted. Waits for the oldest deletion if too many are under way."""
        try:
            self._ask("DELETE", VIRTUAL_CLUSTERS.path(NAMESPACE, name))
        except StatusError as error:
            if error.code != 404:
                raise
            return
        self._going.append(name)
        while len(self._going) > AT_ONCE:
            self._wait_gone(self._going.popleft())

    def finish(self) -> None:
        """Wait until all of them have gone."""
        while self._going:
            self._wait_gone(self._going.popleft())

    def _wait_gone(self, name: str) -> None:
        ends = time.monotonic() + TIMEOUT
        while time.monotonic() < ends:
            try:
                self._ask("GET", VIRTUAL_CLUSTERS.path(NAMESPACE, name))
            except StatusError as error:
                if error.code == 404:
                    return
                raise
            time.sleep(0.01)
        raise TestingError(f'cluster "{name}" was not deleted within {TIMEOUT:.0f} s; see the fleet\'s log')
