"""What is to be done, by cluster, in a fair order. A data structure: no tasks, no time.

Each cluster has a *lane*. Lanes with work stand in a ring; whoever takes work takes one item of the next lane, which
then goes to the end: a cluster with ten thousand items delays another one's single item by one item, not by ten
thousand. A key is in its lane once, however often it is added. While it runs it is not handed out again: an addition
meanwhile makes it run once more afterwards. This is client-go's work queue, with fairness between clusters.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from kloster.runtime.api import Key


class Work(NamedTuple):
    """One key of one controller (an index into the lane owner's table)."""

    controller: int
    key: Key


class Lane:
    """One cluster's share of the queue."""

    __slots__ = ("again", "closed", "in_ring", "queued", "ready", "running")

    def __init__(self) -> None:
        self.ready: deque[Work] = deque()
        self.queued: set[Work] = set()
        self.running: set[Work] = set()
        self.again: set[Work] = set()
        self.in_ring = False
        self.closed = False

    @property
    def idle(self) -> bool:
        return not self.ready and not self.running


class FairQueue:
    """Lanes in a ring. `lane_limit` is how many items of one lane may run at once."""

    def __init__(self, lane_limit: int) -> None:
        self._ring: deque[Lane] = deque()
        self._limit = lane_limit

    def add(self, lane: Lane, work: Work) -> None:
        if lane.closed or work in lane.queued:
            return
        if work in lane.running:
            lane.again.add(work)
            return
        lane.queued.add(work)
        lane.ready.append(work)
        self._enter(lane)

    def take(self) -> tuple[Lane, Work] | None:
        """The next item, marked as running; None if nothing may run now."""
        while self._ring:
            lane = self._ring.popleft()
            lane.in_ring = False
            if not lane.ready:
                continue
            work = lane.ready.popleft()
            lane.queued.discard(work)
            lane.running.add(work)
            self._enter(lane)
            return lane, work
        return None

    def done(self, lane: Lane, work: Work) -> None:
        """`work` has ended, well or not."""
        lane.running.discard(work)
        if work in lane.again:
            lane.again.discard(work)
            self.add(lane, work)
        self._enter(lane)

    def close(self, lane: Lane) -> None:
        """Drop what waits in `lane` and take nothing more; what runs goes on."""
        lane.closed = True
        lane.ready.clear()
        lane.queued.clear()
        lane.again.clear()

    def _enter(self, lane: Lane) -> None:
        if lane.ready and not lane.in_ring and len(lane.running) < self._limit:
            lane.in_ring = True
            self._ring.append(lane)
