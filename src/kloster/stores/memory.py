"""A store that lives as long as its process: for tests and for clusters that nobody will miss."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from kloster.stores.api import Event
from kloster.stores.broadcast import LogLimits
from kloster.stores.layers import Layer
from kloster.stores.local import LocalStore, Seam
from kloster.stores.state import Overlay


class _InstantCommitter:
    """Durable as soon as the event loop comes round, so that the order of events is that of a real store."""

    def commit(self, events: Sequence[Event]) -> asyncio.Future[None]:
        return _at_next_turn()

    def upkeep(self) -> None:
        return None


class MemoryStore(LocalStore):
    """A `Store` in memory, over `base` (the topmost layer first)."""

    def __init__(
        self,
        base: Sequence[Layer] = (),
        *,
        revision: int = 0,
        limits: LogLimits | None = None,
        seam: Seam | None = None,
    ) -> None:
        super().__init__(Overlay(base, revision), _InstantCommitter(), limits=limits, seam=seam)

    async def freeze(self) -> Layer:
        """Turn the state into a layer that other stores may stand on; this store goes on above it."""
        await self._writer.errand(_at_next_turn, lambda _: self._overlay.freeze(uuid4().hex))
        return self._overlay.layers[0]

    async def close(self) -> None:
        await asyncio.shield(self._writer.close())
        self._log.close()


def _at_next_turn() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    loop.call_soon(done.set_result, None)
    return done
