"""The timers: order, cancelling, no task while nothing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from kloster.aio.clock import VirtualClock
from kloster.aio.supervision import Supervisor
from kloster.runtime.timers import Timers


def test_timers_fire_in_order_and_an_earlier_one_overtakes() -> None:
    async def main() -> None:
        clock, seen = VirtualClock(), []
        async with Supervisor() as supervisor:

            def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
                return supervisor.spawn(work, name=name)

            def note(text: str) -> Callable[[], None]:
                return lambda: seen.append((text, round(clock.now() - 1_700_000_000.0, 3)))

            timers = Timers(clock, spawn)
            timers.after(10, note("late"))
            timers.after(0.1, note("early"))
            gone = timers.after(5, note("gone"))
            await clock.advance(1)
            gone.cancel()
            gone.cancel()
            await clock.advance(20)
        assert seen == [("early", 0.1), ("late", 10.0)]

    asyncio.run(main())


def test_nothing_sleeps_once_all_timers_are_cancelled() -> None:
    async def main() -> None:
        clock = VirtualClock()
        tasks: list[asyncio.Task[None]] = []
        async with Supervisor() as supervisor:

            def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
                tasks.append(supervisor.spawn(work, name=name))
                return tasks[-1]

            timers = Timers(clock, spawn)
            made = [timers.after(100 + index, lambda: None) for index in range(200)]
            await clock.advance(1)
            for timer in made:
                timer.cancel()
            await clock.advance(1)
            assert all(task.done() for task in tasks)

    asyncio.run(main())
