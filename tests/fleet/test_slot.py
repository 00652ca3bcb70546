"""A slot by itself: who needs the cluster in the very turn in which it has been put away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from kloster.aio.clock import Clock, SystemClock
from kloster.apiserver.http.tls import Material
from kloster.fleet.assembly import Assembled
from kloster.fleet.slot import Slot
from kloster.fleet.wish import Wish


class _Cluster:
    next_due = None


class _Wish:
    display = "default/dev"


class _Keeper:
    """Opens and closes at once. `at_end` is called in the last moment of putting away, before anybody is told."""

    clock: Clock = SystemClock()

    def __init__(self) -> None:
        self.opened = 0
        self.at_end: Callable[[], None] = lambda: None

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.ensure_future(work)

    async def bring(self, wish: Wish) -> Assembled:
        self.opened += 1
        return cast(Assembled, _Cluster())

    async def put_away(self, wish: Wish, cluster: Assembled, due: float | None) -> None:
        asyncio.get_running_loop().call_soon(self.at_end)

    def watch_over(self, slot: Slot, due: float | None) -> list[Callable[[], None]]:
        return []

    def failed(self, wish: Wish, error: Exception) -> None:
        raise error


def _slot(keeper: _Keeper) -> Slot:
    return Slot(keeper, cast(Wish, _Wish()), lambda: Material(b"", b""))


async def _wanted_in_the_turn_of(number: int) -> int:
    keeper = _Keeper()
    slot = _slot(keeper)
    await slot.wake()
    woken: list[asyncio.Task[Assembled]] = []

    def begin() -> None:
        """Parking is over, and the slot has not been told: somebody comes now."""
        wake = slot.wake()
        found = wake.send(None)  # as far as it goes in this very turn of the loop
        woken.append(asyncio.ensure_future(_rest(wake, found)))

    keeper.at_end = begin
    for _ in range(number):
        await slot.park()
        await asyncio.sleep(0)
        assert await woken[-1] is slot.cluster
    return keeper.opened


async def _rest(wake: Coroutine[Any, Any, Assembled], waited_for: Any) -> Assembled:
    """The remainder of a coroutine that was begun by hand."""
    while True:
        waited_for._asyncio_future_blocking = False
        await asyncio.wait([waited_for])
        try:
            waited_for = wake.send(None)
        except StopIteration as end:
            return cast(Assembled, end.value)


@pytest.mark.timeout(10)
def test_who_comes_in_the_turn_in_which_parking_ends_has_it_opened_again() -> None:
    assert asyncio.run(_wanted_in_the_turn_of(3)) == 4


@pytest.mark.timeout(10)
def test_a_reason_that_comes_while_it_is_parked_away_is_not_lost() -> None:
    async def scenario() -> int:
        keeper = _Keeper()
        slot = _slot(keeper)
        await slot.wake()
        keeper.at_end = slot.wake_soon
        await slot.park()
        await slot.settled()
        return keeper.opened

    assert asyncio.run(scenario()) == 2
