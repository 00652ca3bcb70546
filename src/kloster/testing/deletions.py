"""Deleting clusters while the tests go on: a thread of its own, with a connection of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from kloster.apimachinery.errors import StatusError
from kloster.client.blocking import Blocking
from kloster.fleet.virtualcluster import VIRTUAL_CLUSTERS

NAMESPACE = "default"
TIMEOUT = 30.0
AT_ONCE = 16
"""Deletions that may be under way, or wait, before whoever wants another one waits."""


class Deletions:
    """Of one fleet. `connect` makes a connection to its host."""

    def __init__(self, connect: Callable[[], Blocking]) -> None:
        self._connect = connect
        self._wanted: queue.Queue[str | None] = queue.Queue(AT_ONCE)
        self._thread: threading.Thread | None = None
        self._until_gone = False
        self.asked: set[str] = set()
        """Every cluster that was to be deleted: its name is free again in a moment."""
        self._lock = threading.Lock()

    def begin(self, name: str) -> None:
        """Have the cluster deleted. Waits if too many are under way."""
        self.asked.add(name)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="kloster deletions", daemon=True)
                self._thread.start()
        self._wanted.put(name, timeout=TIMEOUT)

    def finish(self) -> None:
        """Wait until all of them have gone."""
        self._until_gone = True
        self.close()

    def close(self) -> None:
        """Ask for what is still to be asked for; do not wait until it is done."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._wanted.put(None, timeout=TIMEOUT)
            thread.join(TIMEOUT)

    def _run(self) -> None:
        host = self._connect()
        going: deque[str] = deque()
        try:
            while (name := self._wanted.get()) is not None:
                self._ask(host, "DELETE", name)
                going.append(name)
                while len(going) > AT_ONCE:
                    self._wait_gone(host, going.popleft())
            while going and self._until_gone:
                self._wait_gone(host, going.popleft())
        except (OSError, StatusError):
            self._drain()  # the fleet has ended, or is about to: everything goes with it
        finally:
            host.close()

    def _ask(self, host: Blocking, method: str, name: str) -> bool:
        """Whether the cluster is there."""
        try:
            host.request(method, VIRTUAL_CLUSTERS.path(NAMESPACE, name), {})
            return True
        except StatusError as error:
            if error.code != 404:
                raise
            return False

    def _wait_gone(self, host: Blocking, name: str) -> None:
        ends = time.monotonic() + TIMEOUT
        while self._ask(host, "GET", name) and time.monotonic() < ends:
            time.sleep(0.02)

    def _drain(self) -> None:
        while not self._wanted.empty():
            self._wanted.get_nowait()
