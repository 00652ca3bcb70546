"""When the process tidies up."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest

from kloster.aio.clock import VirtualClock
from kloster.fleet import memory


@pytest.mark.parametrize(
    ("used", "times"),
    [pytest.param(0.1, 3, id="little to do"), pytest.param(1.5, 0, id="busy")],
)
def test_forms_age_always_but_only_a_process_with_little_to_do_tidies_up(
    used: float, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`used` processor seconds in each interval, in which more is dropped than a tidying costs."""
    given_back: list[None] = []
    monkeypatch.setattr(memory, "give_back", lambda: given_back.append(None))

    async def main() -> int:
        clock, called, spent = VirtualClock(), 0, 0.0

        def age() -> int:
            nonlocal called
            called += 1
            return memory.WORTH_IT + 1

        def spend() -> float:
            nonlocal spent
            spent += used
            return spent

        shared = SimpleNamespace(clock=clock, forms=SimpleNamespace(age=age))
        resting = asyncio.ensure_future(memory.rest(shared, spend))  # type: ignore[arg-type]
        for _ in range(3):
            await clock.advance(memory.AGE)
        resting.cancel()
        with suppress(asyncio.CancelledError):
            await resting
        return called

    assert asyncio.run(main()) == 3
    assert len(given_back) == times
