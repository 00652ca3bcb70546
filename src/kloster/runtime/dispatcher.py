"""Runs the controllers of all clusters.

A cluster is *attached* with its controllers: what they watch is subscribed to once for each resource, and changes
become keys in the cluster's lane of one fair queue (`queue`). Work runs in at most `workers` tasks at a time, which
exist only while there is work: an attached cluster where nothing happens costs its subscriptions and nothing else.

    key added ─▶ lane ─▶ ring ─▶ reconcile ─┬─ Result(after) ─▶ timers ─▶ key added
                                            ├─ raised ─▶ back-off ─▶ timers ─▶ key added
                                            └─ done

Detaching ends subscriptions and timers, drops what waits, and gives what runs a bounded time to finish.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import structlog

from kloster.aio.backoff import Backoff
from kloster.aio.clock import Clock, settle
from kloster.aio.supervision import Supervisor
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change, Resource
from kloster.client.errors import ClientError
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.runtime.queue import FairQueue, Lane, Work
from kloster.runtime.timers import Timer, Timers

log = structlog.get_logger(__name__)

RETRY = Backoff(first=0.005, limit=300.0)
_EXPECTED = (404, 409, 429, 503, 504)  # answers that reconciling again cures


class Attachment:
    """One attached cluster. Made by `Dispatcher.attach`."""

    def __init__(self, context: Context, controllers: Sequence[Controller]) -> None:
        self.cluster = context.cluster
        self.controllers = tuple(controllers)
        self.contexts = [
            dataclasses.replace(
                context,
                recorder=context.recorder.for_component(controller.component or controller.name),
                memory={},
            )
            for controller in controllers
        ]
        self.lane = Lane()
        self.failures: dict[Work, int] = {}
        self.timers: dict[Work, Timer] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.cancels: list[Callable[[], None]] = []

    @property
    def idle(self) -> bool:
        """Nothing waits or runs (timers may be set)."""
        return self.lane.idle

    @property
    def next_due(self) -> float | None:
        """When the earliest timer comes up, in the clock's monotonic seconds."""
        return min((timer.due for timer in self.timers.values()), default=None)


@dataclasses.dataclass(slots=True)
class Statistics:
    """Counters since start, for the metrics page."""

    reconciled: int = 0
    failed: int = 0
    running: int = 0


class Dispatcher:
    """Use as an async context manager.

    workers        how many reconciliations run at once
    per_cluster    how many of them one cluster may have; default: half
    """

    def __init__(
        self,
        clock: Clock,
        *,
        workers: int = 64,
        per_cluster: int = 0,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._workers = workers
        self._rng = rng or random.Random()
        self._queue = FairQueue(per_cluster or max(1, workers // 2))
        self._supervisor = Supervisor()
        self._timers = Timers(clock, lambda work, name: self._supervisor.spawn(work, name=name))
        self._lanes: dict[int, Attachment] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.statistics = Statistics()

    async def __aenter__(self) -> Self:
        await self._supervisor.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for attachment in tuple(self._lanes.values()):
            self._close(attachment)
        await self._supervisor.__aexit__(kind, error, trace)

    def attach(self, context: Context, controllers: Sequence[Controller]) -> Attachment:
        """Run `controllers` for the cluster of `context`. Everything that exists is reconciled once."""
        attachment = Attachment(context, controllers)
        self._lanes[id(attachment.lane)] = attachment
        by_resource: dict[Resource, list[tuple[int, Watch]]] = {}
        for index, controller in enumerate(attachment.controllers):
            for watch in controller.watches:
                by_resource.setdefault(watch.resource, []).append((index, watch))
        try:
            for resource, watches in by_resource.items():
                handler = self._handler(attachment, watches)
                attachment.cancels.append(context.source.subscribe(resource, handler))
            for index, controller in enumerate(attachment.controllers):
                if controller.start is not None:
                    enqueue = self._enqueuer(attachment, index)
                    attachment.cancels.append(controller.start(attachment.contexts[index], enqueue))
        except BaseException:
            self._close(attachment)
            raise
        return attachment

    async def detach(self, attachment: Attachment, *, grace: float = 5.0) -> None:
        """Stop the cluster's controllers: what runs may finish within `grace` seconds, then it is cancelled."""
        self._close(attachment)
        tasks = tuple(attachment.tasks)
        if not tasks:
            return
        _, running = await asyncio.wait(tasks, timeout=grace)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def enqueue(self, attachment: Attachment, controller: str, key: Key) -> None:
        """Reconcile `key` soon, whatever happened."""
        names = [candidate.name for candidate in attachment.controllers]
        self._add(attachment, Work(names.index(controller), key))

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run something in the background that `wait_idle` waits for (the recorder's writes).

        Best effort: dropped when the dispatcher is ending.
        """
        if not self._supervisor.running:
            work.close()
            return
        task = self._supervisor.spawn(work, name=name)
        self._background.add(task)
        self._quiet.clear()
        task.add_done_callback(self._background_done)

    async def wait_idle(self, timeout: float = 30.0) -> None:
        """Wait until nothing runs and nothing waits, also after what was written has come back as changes.

        Work that is due later does not count. For tests; raises TimeoutError.
        """
        async with asyncio.timeout(timeout):
            while True:
                await self._quiet.wait()
                await settle()
                if self._quiet.is_set():
                    return

    def _handler(self, attachment: Attachment, watches: Iterable[tuple[int, Watch]]) -> Callable[[Change], None]:
        routes = tuple(watches)

        def changed(change: Change) -> None:
            for index, watch in routes:
                try:
                    if watch.relevant is not None and not watch.relevant(change):
                        continue
                    if watch.lookup is not None:
                        keys = watch.lookup(attachment.contexts[index], change)
                    else:
                        keys = watch.keys(change)
                    for key in keys:
                        self._add(attachment, Work(index, key))
                except Exception:
                    log.exception(
                        "a change could not be mapped",
                        cluster=attachment.cluster,
                        controller=attachment.controllers[index].name,
                        resource=change.resource.id,
                    )

        return changed

    def _enqueuer(self, attachment: Attachment, index: int) -> Callable[[Key], None]:
        return lambda key: self._add(attachment, Work(index, key))

    def _add(self, attachment: Attachment, work: Work) -> None:
        self._queue.add(attachment.lane, work)
        self._pump()

    def _pump(self) -> None:
        """Start work while there is some and a worker is free."""
        while self.statistics.running < self._workers:
            taken = self._queue.take()
            if taken is None:
                break
            lane, work = taken
            attachment = self._lanes[id(lane)]
            self.statistics.running += 1
            self._quiet.clear()
            name = f"{attachment.cluster} {attachment.controllers[work.controller].name}"
            task = self._supervisor.spawn(self._reconcile(attachment, work), name=name)
            attachment.tasks.add(task)
            task.add_done_callback(functools.partial(self._ended, attachment=attachment, work=work))

    async def _reconcile(self, attachment: Attachment, work: Work) -> None:
        timer = attachment.timers.pop(work, None)
        if timer is not None:
            timer.cancel()
        controller = attachment.controllers[work.controller]
        try:
            result = await controller.reconcile(attachment.contexts[work.controller], work.key)
        except Exception as error:
            self.statistics.failed += 1
            self._retry(attachment, work, error)
        else:
            self.statistics.reconciled += 1
            attachment.failures.pop(work, None)
            self._later(attachment, work, result)

    def _retry(self, attachment: Attachment, work: Work, error: Exception) -> None:
        failures = attachment.failures.get(work, 0) + 1
        attachment.failures[work] = failures
        delay = RETRY.delay(failures, self._rng)
        bound = log.bind(
            cluster=attachment.cluster,
            controller=attachment.controllers[work.controller].name,
            namespace=work.key.namespace,
            name=work.key.name,
            failures=failures,
            retry_in=round(delay, 3),
        )
        if isinstance(error, StatusError) and error.code in _EXPECTED:
            bound.debug("reconciling again", error=str(error))
        elif isinstance(error, StatusError | ClientError):
            bound.warning("reconciling failed", error=str(error))
        else:
            bound.error("reconciling failed", exc_info=error)
        self._later(attachment, work, Result(delay))

    def _later(self, attachment: Attachment, work: Work, result: Result | None) -> None:
        if result is None or result.after is None or attachment.lane.closed:
            return
        if result.after <= 0:
            self._queue.add(attachment.lane, work)
            return
        known = attachment.timers.pop(work, None)
        if known is not None:
            known.cancel()

        def due() -> None:
            attachment.timers.pop(work, None)
            self._add(attachment, work)

        attachment.timers[work] = self._timers.after(result.after, due)

    def _ended(self, task: asyncio.Task[None], attachment: Attachment, work: Work) -> None:
        attachment.tasks.discard(task)
        self.statistics.running -= 1
        self._queue.done(attachment.lane, work)
        if attachment.lane.closed and attachment.lane.idle:
            self._lanes.pop(id(attachment.lane), None)
        self._pump()
        self._settle_quiet()

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        self._settle_quiet()

    def _settle_quiet(self) -> None:
        if self.statistics.running == 0 and not self._background:
            self._quiet.set()

    def _close(self, attachment: Attachment) -> None:
        for cancel in attachment.cancels:
            cancel()
        attachment.cancels.clear()
        for timer in attachment.timers.values():
            timer.cancel()
        attachment.timers.clear()
        self._queue.close(attachment.lane)
        if attachment.lane.idle:
            self._lanes.pop(id(attachment.lane), None)
