"""Long work beside the loop: whose turn it is, and what happens to work that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kloster.aio.aside import Abandoned, Aside, Busy, on_loop


def test_the_result_and_the_error_come_back() -> None:
    async def go() -> None:
        aside = Aside()
        assert await aside.run("a", threading.current_thread) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await aside.run("a", lambda: 1 // 0)
        assert await aside.run("a", lambda: 1) == 1

    asyncio.run(go())


def test_the_loop_is_asked_for_what_is_shared() -> None:
    async def go() -> None:
        here = threading.current_thread()
        assert on_loop(threading.current_thread) is here
        assert await Aside().run("a", lambda: on_loop(threading.current_thread)) is here
        with pytest.raises(ZeroDivisionError):
            await Aside().run("a", lambda: on_loop(lambda: 1 // 0))

    asyncio.run(go())


def test_one_at_a_time_of_each_owner_and_owners_take_turns() -> None:
    async def go() -> None:
        aside, order = Aside(threads=1), list[str]()
        gate = threading.Event()
        first = asyncio.create_task(aside.run("a", gate.wait))
        await asyncio.sleep(0)
        tasks = [
            asyncio.create_task(aside.run(name[0], lambda name=name: order.append(name)))  # type: ignore[misc]
            for name in ("a1", "a2", "a3", "b1", "b2", "c1")
        ]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *tasks)
        assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]

    asyncio.run(go())


def test_two_owners_run_together_but_never_two_of_one() -> None:
    async def go() -> None:
        aside, running, worst = Aside(threads=2), list[str](), list[int]()
        both = threading.Barrier(2)

        def work(name: str) -> None:
            running.append(name)
            worst.append(running.count(name))
            both.wait(10)
            running.remove(name)

        await asyncio.gather(*(aside.run(name, lambda name=name: work(name)) for name in "ababab"))  # type: ignore[misc]
        assert set(worst) == {1}

    asyncio.run(go())


def test_too_much_is_refused() -> None:
    async def go() -> None:
        aside, gate = Aside(threads=1, waiting=2), threading.Event()
        tasks = [asyncio.create_task(aside.run("a", gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await aside.run("a", lambda: None)
        other = asyncio.create_task(aside.run("b", lambda: 7))
        gate.set()
        assert await other == 7
        await asyncio.gather(*tasks)

    asyncio.run(go())


def test_whoever_leaves_the_queue_holds_nobody_up() -> None:
    async def go() -> None:
        aside, gate = Aside(threads=1), threading.Event()
        first = asyncio.create_task(aside.run("a", gate.wait))
        await asyncio.sleep(0)
        leaving = [asyncio.create_task(aside.run(name, lambda: None)) for name in "aab"]
        last = asyncio.create_task(aside.run("a", lambda: 7))
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        gate.set()
        assert await last == 7
        await first
        assert await aside.run("b", lambda: 8) == 8

    asyncio.run(go())


def test_abandoned_work_ends_at_its_next_question() -> None:
    async def go() -> None:
        aside, begun, gate, ended = Aside(threads=1), threading.Event(), threading.Event(), list[str]()

        def work() -> None:
            begun.set()
            gate.wait(10)
            try:
                on_loop(lambda: None)
            except Abandoned:
                ended.append("abandoned")
                raise

        task = asyncio.create_task(aside.run("a", work))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        assert await aside.run("a", lambda: 7) == 7  # only now: the place is taken until the thread has ended
        assert ended == ["abandoned"]

    asyncio.run(go())
