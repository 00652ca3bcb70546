"""The fair queue: order between clusters, one key once."""

from kloster.runtime.api import Key
from kloster.runtime.queue import FairQueue, Lane, Work


def work(name: str) -> Work:
    return Work(0, Key("", name))


def drain(queue: FairQueue) -> list[str]:
    names = []
    while taken := queue.take():
        lane, item = taken
        names.append(item.key.name)
        queue.done(lane, item)
    return names


def test_a_busy_cluster_delays_another_by_one_item() -> None:
    queue, busy, small = FairQueue(10), Lane(), Lane()
    for index in range(100):
        queue.add(busy, work(f"busy{index}"))
    queue.add(small, work("small"))
    assert drain(queue)[:3] == ["busy0", "small", "busy1"]


def test_a_key_is_queued_once() -> None:
    queue, lane = FairQueue(10), Lane()
    for _ in range(3):
        queue.add(lane, work("a"))
    assert drain(queue) == ["a"]


def test_a_running_key_is_not_handed_out_but_runs_again() -> None:
    queue, lane = FairQueue(10), Lane()
    queue.add(lane, work("a"))
    assert queue.take() == (lane, work("a"))
    queue.add(lane, work("a"))
    queue.add(lane, work("a"))
    assert queue.take() is None
    queue.done(lane, work("a"))
    assert drain(queue) == ["a"]


def test_a_lane_runs_no_more_than_its_limit() -> None:
    queue, lane = FairQueue(2), Lane()
    for name in "abc":
        queue.add(lane, work(name))
    assert queue.take() and queue.take()
    assert queue.take() is None
    queue.done(lane, work("a"))
    assert queue.take() == (lane, work("c"))


def test_a_closed_lane_gives_nothing_and_takes_nothing() -> None:
    queue, lane = FairQueue(2), Lane()
    queue.add(lane, work("a"))
    queue.close(lane)
    queue.add(lane, work("b"))
    assert queue.take() is None
