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
        self._work: dict[asyncio.Task[None], Coroutine[Any, Any, Any]] = {}
        self.running = False

    async def __aenter__(self) -> Self:
        self.running = True
        return self

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[None]:
        """Start `work`; its result is dropped, its exception logged under `name`."""
        if not self.running:
            work.close()
            raise RuntimeError(f"{name}: the supervisor is not running")
        task = asyncio.get_running_loop().create_task(_guarded(work, name), name=name)
        self._work[task] = work
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.pop(task).close()  # a task cancelled before its first step never awaits it
        if not task.cancelled():
            task.exception()  # only what ends the whole process gets here, and the loop has been told

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running = False
        for task in tuple(self._work):
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while self._work:
            try:
                await asyncio.wait(tuple(self._work))
            except asyncio.CancelledError as again:  # nothing outlives its owner, however much that is in a hurry
                cancelled = again
        if cancelled is not None:
            raise cancelled


async def _guarded(work: Coroutine[Any, Any, Any], name: str) -> None:
    try:
        await work
    except Exception:
        log.exception("background work failed", task=name)
