"""Small helpers of the SQLite store's tests."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec

from kloster.stores.api import Entry, Key, Operation, Put, Remove, View

P = ParamSpec("P")


def looped(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own, for at most 30 seconds."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run


def pod_key(name: str) -> Key:
    return Key("/pods", "default", name)


def put(name: str, body: str = "1") -> Put:
    return Put(pod_key(name), b"{" + body.encode(), b"}", {"app": "x"}, {"metadata.name": name}, "v1")


def remove(name: str) -> Remove:
    return Remove(pod_key(name))


def entry(name: str, revision: int, body: str = "1") -> Entry:
    return Entry(pod_key(name), revision, b"{" + body.encode(), b"}", {}, {}, "v1")


def writes(*operations: Operation) -> Callable[[View], Sequence[Operation]]:
    return lambda _: operations


def bodies(view: View) -> dict[str, str]:
    return {found.key.name: found.head[1:].decode() for found in view.scan("/pods")}
