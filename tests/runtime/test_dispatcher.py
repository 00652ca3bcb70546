"""The dispatcher under virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest

from kloster.aio.clock import VirtualClock, settle
from kloster.apimachinery import Object
from kloster.apimachinery.errors import unavailable
from kloster.client.api import Change, Resource
from kloster.client.client import Client
from kloster.client.recorded import RecordedTransport
from kloster.client.resources import CONFIG_MAPS
from kloster.client.sources import LiveSource
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.runtime.dispatcher import RETRY, Dispatcher
from kloster.runtime.recorder import EventRecorder

Reconcile = Callable[[Context, Key], Awaitable[Result | None]]


class View:
    """The smallest ObjectView: one resource's objects by name."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.items: dict[str, Object] = {name: _object(name) for name in names}
        self.handlers: list[Callable[[Object | None, Object | None], None]] = []

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return self.items.get(name)

    def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        return list(self.items.values())

    def subscribe(self, resource: str, handler: Callable[[Object | None, Object | None], None]) -> Callable[[], None]:
        self.handlers.append(handler)
        return lambda: self.handlers.remove(handler)

    def touch(self, name: str) -> None:
        old, new = self.items.get(name), _object(name)
        self.items[name] = new
        for handler in self.handlers:
            handler(old, new)


def _object(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns", "uid": name}}


def _context(cluster: str, view: View, clock: VirtualClock, dispatcher: Dispatcher) -> Context:
    client = Client(RecordedTransport({}))
    return Context(cluster, client, LiveSource(view), EventRecorder(client, clock, dispatcher.spawn), clock)


def _controller(reconcile: Reconcile, resource: Resource = CONFIG_MAPS) -> Controller:
    return Controller("test-controller", (Watch(resource),), reconcile)


def run(test: Callable[[VirtualClock, Dispatcher], Awaitable[None]], workers: int = 4, per_cluster: int = 0) -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with asyncio.timeout(10):
            async with Dispatcher(clock, workers=workers, per_cluster=per_cluster, rng=random.Random(1)) as dispatcher:
                await test(clock, dispatcher)

    asyncio.run(main())


def test_what_exists_and_what_changes_is_reconciled() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        seen: list[str] = []

        async def reconcile(context: Context, key: Key) -> None:
            seen.append(f"{context.cluster}/{key.namespace}/{key.name}")

        view = View(["a"])
        dispatcher.attach(_context("c", view, clock, dispatcher), [_controller(reconcile)])
        await dispatcher.wait_idle()
        view.touch("b")
        await dispatcher.wait_idle()
        assert seen == ["c/ns/a", "c/ns/b"]

    run(test)


def test_clusters_take_turns() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        seen: list[str] = []

        async def reconcile(context: Context, key: Key) -> None:
            seen.append(context.cluster)
            await asyncio.sleep(0)

        views = View([f"x{index}" for index in range(50)]), View(["only"])
        for name, view in zip(("busy", "small"), views, strict=True):
            dispatcher.attach(_context(name, view, clock, dispatcher), [_controller(reconcile)])
        await dispatcher.wait_idle()
        assert seen.index("small") <= 3
        assert len(seen) == 51

    run(test, workers=1)


def test_one_key_never_runs_twice_at_once_and_runs_again_when_dirty() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        running, most, count = 0, 0, 0
        gate = asyncio.Event()

        async def reconcile(context: Context, key: Key) -> None:
            nonlocal running, most, count
            running += 1
            count += 1
            most = max(most, running)
            await gate.wait()
            running -= 1

        view = View(["a"])
        dispatcher.attach(_context("c", view, clock, dispatcher), [_controller(reconcile)])
        await settle()
        for _ in range(5):
            view.touch("a")
        await settle()
        gate.set()
        await dispatcher.wait_idle()
        assert (most, count) == (1, 2)

    run(test)


def test_failures_back_off_exponentially_and_success_resets() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        times: list[float] = []
        failing = True

        async def reconcile(context: Context, key: Key) -> None:
            times.append(clock.now())
            if failing:
                raise unavailable("not now")

        view = View(["a"])
        attachment = dispatcher.attach(_context("c", view, clock, dispatcher), [_controller(reconcile)])
        await dispatcher.wait_idle()
        for _ in range(12):
            await clock.advance(10)
        delays = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(delays) >= 10
        for failures, delay in enumerate(delays, start=1):
            full = min(RETRY.limit, RETRY.first * 2 ** (failures - 1))
            assert full / 2 - 1e-6 <= delay <= full + 1e-6
        failing = False
        await clock.advance(600)
        assert attachment.failures == {}
        assert attachment.next_due is None

    run(test)


def test_after_comes_back_on_time_and_costs_nothing_meanwhile() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        times: list[float] = []

        async def reconcile(context: Context, key: Key) -> Result:
            times.append(clock.now())
            return Result(after=86_400)

        attachment = dispatcher.attach(_context("c", View(["a"]), clock, dispatcher), [_controller(reconcile)])
        await dispatcher.wait_idle()
        start = clock.now()
        assert attachment.next_due == pytest.approx(start + 86_400)
        await clock.advance(86_399)
        assert len(times) == 1
        await clock.advance(2)
        assert times == [start, pytest.approx(start + 86_400)]

    run(test)


def test_a_failure_of_one_cluster_does_not_touch_another() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        seen: list[str] = []

        async def reconcile(context: Context, key: Key) -> None:
            seen.append(context.cluster)
            if context.cluster == "bad":
                raise ZeroDivisionError("a programming error")

        for name in ("bad", "good"):
            dispatcher.attach(_context(name, View(["a"]), clock, dispatcher), [_controller(reconcile)])
        await dispatcher.wait_idle()
        assert sorted(seen) == ["bad", "good"]

    run(test)


def test_detach_drops_what_waits_and_cancels_what_hangs() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        started: list[str] = []
        cancelled: list[str] = []

        async def reconcile(context: Context, key: Key) -> None:
            started.append(key.name)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(key.name)
                raise

        view = View(["a", "b", "c"])
        attachment = dispatcher.attach(_context("c", view, clock, dispatcher), [_controller(reconcile)])
        await settle()
        await dispatcher.detach(attachment, grace=0.01)
        assert started == cancelled == ["a"]
        assert view.handlers == []
        view.touch("d")
        await dispatcher.wait_idle()
        assert started == ["a"]

    run(test, per_cluster=1)


def test_lookup_and_start_feed_keys() -> None:
    async def test(clock: VirtualClock, dispatcher: Dispatcher) -> None:
        seen: list[str] = []
        stopped: list[bool] = []

        async def reconcile(context: Context, key: Key) -> None:
            seen.append(key.name)

        def lookup(context: Context, change: Change) -> list[Key]:
            return [Key("", f"{context.cluster}-{change.object['metadata']['name']}")]

        def start(context: Context, enqueue: Callable[[Key], None]) -> Callable[[], None]:
            enqueue(Key("", "started"))
            return lambda: stopped.append(True)

        controller = Controller("test-controller", (Watch(CONFIG_MAPS, lookup=lookup),), reconcile, start)
        attachment = dispatcher.attach(_context("c", View(["a"]), clock, dispatcher), [controller])
        await dispatcher.wait_idle()
        await dispatcher.detach(attachment)
        assert seen == ["c-a", "started"]
        assert stopped == [True]

    run(test)
