"""Tasks that belong to a supervisor."""

from __future__ import annotations

import asyncio

import pytest

from kloster.aio.supervision import Supervisor


def test_one_failure_disturbs_nobody() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def fail() -> None:
            raise ZeroDivisionError

        async def work() -> None:
            await asyncio.sleep(0.01)
            seen.append("done")

        async with Supervisor() as supervisor:
            supervisor.spawn(fail(), name="fail")
            await supervisor.spawn(work(), name="work")
        return seen

    assert asyncio.run(main()) == ["done"]


def test_leaving_cancels_and_waits() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                seen.append("cleaned up")

        async def never_started() -> None:
            seen.append("started")

        async with Supervisor() as supervisor:
            supervisor.spawn(hang(), name="hang")
            await asyncio.sleep(0)
            supervisor.spawn(never_started(), name="late")
        return seen

    assert asyncio.run(main()) == ["cleaned up"]


def test_the_blocks_own_error_is_passed_on_as_it_is() -> None:
    async def main() -> None:
        async with Supervisor() as supervisor:
            supervisor.spawn(asyncio.sleep(100), name="sleep")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())


def test_a_closed_supervisor_takes_no_work() -> None:
    async def main() -> None:
        supervisor = Supervisor()
        async with supervisor:
            pass
        with pytest.raises(RuntimeError, match="not running"):
            supervisor.spawn(asyncio.sleep(0), name="late")

    asyncio.run(main())
