"""What the store contract needs to be run on a back end: how to open it, and a gate in front of its commits."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, Protocol

from kloster.stores.api import Event, Key, Operation, Put, Remove, Store, View
from kloster.stores.broadcast import LogLimits
from kloster.stores.layers import Layer
from kloster.stores.memory import MemoryStore
from kloster.stores.sqlite import SqliteStore
from kloster.stores.writer import Committer

P = ParamSpec("P")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own, for at most 20 seconds."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


class Gate:
    """A committer that can be shut, and told to fail. What it lets through, the real one commits."""

    def __init__(self) -> None:
        self.shut = False
        self.failures: list[Exception] = []
        self.commits: list[Sequence[Event]] = []
        self.waiting: list[tuple[Sequence[Event], asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()
        self._inner: Committer | None = None

    def __call__(self, inner: Committer) -> Committer:
        self._inner = inner
        return self

    def commit(self, events: Sequence[Event]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.shut:
            self.waiting.append((events, done))
            self._arrived.set()
        else:
            self._pass(events, done)
        return done

    def upkeep(self) -> asyncio.Future[None] | None:
        assert self._inner is not None
        return self._inner.upkeep()

    def open(self) -> None:
        """Let everything pass that is waiting, and from now on."""
        self.shut = False
        waiting, self.waiting = self.waiting, []
        self._arrived.clear()
        for events, done in waiting:
            self._pass(events, done)

    async def wait_arrival(self) -> None:
        """Return once a commit stands at the shut gate."""
        await self._arrived.wait()

    def _pass(self, events: Sequence[Event], done: asyncio.Future[None]) -> None:
        assert self._inner is not None
        self.commits.append(events)
        if self.failures:
            done.set_exception(self.failures.pop(0))
            return

        def finish(job: asyncio.Future[None]) -> None:
            error = job.exception()
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self._inner.commit(events).add_done_callback(finish)


class Freezable(Store, Protocol):
    """What forks need beyond `Store`; both back ends have it."""

    @property
    def layers(self) -> tuple[Layer, ...]: ...


@dataclass
class Backend:
    """One kind of store; `directory` and `executor` are used by those that have files."""

    name: str
    directory: Path
    executor: Executor
    opened: int = 0

    @property
    def durable(self) -> bool:
        return self.name == "sqlite"

    async def open(
        self, seam: Gate | None = None, limits: LogLimits | None = None, base: Sequence[Layer] = (), file: str = "store"
    ) -> Freezable:
        """A new store, or for a durable one what was in `file` before."""
        if self.name == "memory":
            return MemoryStore(base, limits=limits, seam=seam)
        path = self.directory / f"{file}.db"
        return await SqliteStore.open(path, executor=self.executor, base=base, limits=limits, seam=seam)

    async def freeze(self, store: Store) -> Layer:
        if isinstance(store, SqliteStore):
            self.opened += 1
            return await store.freeze(self.directory / f"after{self.opened}.db")
        assert isinstance(store, MemoryStore)
        return await store.freeze()


PODS, SECRETS = "/pods", "/secrets"


def key(name: str, namespace: str = "default", resource: str = PODS) -> Key:
    return Key(resource, namespace, name)


def put(name: str, value: str = "1", namespace: str = "default", resource: str = PODS) -> Put:
    head = f'{{"name":"{name}","value":"{value}","rv":"'.encode()
    return Put(key(name, namespace, resource), head, b'"}', {"value": value}, {"metadata.name": name}, "v1")


def remove(name: str, namespace: str = "default", resource: str = PODS) -> Remove:
    return Remove(key(name, namespace, resource))


def writes(*operations: Operation) -> Callable[[View], Sequence[Operation]]:
    return lambda _: operations


def values(view: View, resource: str = PODS) -> dict[str, str]:
    """``namespace/name`` to value, in the order of the scan."""
    return {f"{e.key.namespace}/{e.key.name}": e.labels["value"] for e in view.scan(resource)}


def names(entries: Iterator[Any]) -> list[str]:
    return [entry.key.name for entry in entries]


def told(events: Sequence[Event]) -> list[tuple[str, str | None, str | None]]:
    """Events as (name, old value, new value)."""
    return [
        (e.key.name, None if e.old is None else e.old.labels["value"], None if e.new is None else e.new.labels["value"])
        for e in events
    ]
