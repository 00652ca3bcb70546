"""Two things at once: both end, whatever becomes of the other."""

from __future__ import annotations

import asyncio

import pytest

from kloster.aio.together import both


def test_both_are_there() -> None:
    async def body() -> None:
        met = asyncio.Barrier(2)

        async def meet(value: int) -> int:
            await met.wait()  # nobody gets past it alone
            return value

        assert await both(meet(1), meet(2)) == (1, 2)

    asyncio.run(asyncio.wait_for(body(), 5))


@pytest.mark.parametrize(
    ("first", "second", "raised"),
    [(True, False, "first"), (False, True, "second"), (True, True, "first")],
    ids=["the first fails", "the second fails", "both fail"],
)
def test_a_failure_waits_for_the_other(first: bool, second: bool, raised: str) -> None:
    async def body() -> None:
        ended: list[str] = []

        async def work(name: str, fails: bool) -> None:
            if not fails:
                await asyncio.sleep(0.01)
            ended.append(name)
            if fails:
                raise ValueError(name)

        with pytest.raises(ValueError, match=raised):
            await both(work("first", first), work("second", second))
        assert sorted(ended) == ["first", "second"]

    asyncio.run(body())
