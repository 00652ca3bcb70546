"""Background work that belongs to somebody.

A `Supervisor` is a task group for strangers: what one of its tasks raises is logged and ends that task only. Leaving
the supervisor cancels what still runs and waits for it, so no task outlives its owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import structlog

log = structlog.get_logger(__name__)


class Supervisor:
    """Runs tasks until they end or until the `async with` block is left."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self.running = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self.running = True
        return self

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[None]:
        """Start `work`; its result is dropped, its exception logged under `name`."""
        if not self.running:
            work.close()
            raise RuntimeError(f"{name}: the supervisor is not running")
        task = self._group.create_task(_guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # a task cancelled before its first step never awaits it
        return task

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running = False
        for task in tuple(self._tasks):
            task.cancel()
        # Its tasks do not raise, so that nothing has to be grouped: what the block raised goes on as it is.
        await self._group.__aexit__(None, None, None)


async def _guarded(work: Coroutine[Any, Any, Any], name: str) -> None:
    try:
        await work
    except Exception:
        log.exception("background work failed", task=name)
