"""`Cluster` for asyncio: the same methods, awaited.

Each call runs in a thread (the fleet answers in about a millisecond, so that few are needed). Conditions that
`wait_for` calls may be coroutine functions; they run in the loop.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from kloster.testing.cluster import DEFAULT_NAMESPACE, Cluster
from kloster.testing.documents import Source
from kloster.testing.fleets import Fleet
from kloster.testing.libraries import library
from kloster.testing.waiting import Trials, checked, pauses

T = TypeVar("T")


class AsyncCluster:
    """A virtual cluster. Use it as an async context manager. Arguments are `Cluster`'s.

    cluster    the same cluster for synchronous code; configurations of client libraries, `requests`, `faults`, `clock`,
               `pods` and `nodes` are there (they answer in about a millisecond; what waits belongs into a thread)
    """

    def __init__(
        self,
        version: str = "",
        *,
        name: str = "test-*",
        fleet: Fleet | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        self.cluster = Cluster(version, name=name, fleet=fleet, spec=spec)

    @classmethod
    def of(cls, cluster: Cluster) -> AsyncCluster:
        """For a cluster that is there already, for example a fixture's."""
        made = cls.__new__(cls)
        made.cluster = cluster
        return made

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.cluster.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(asyncio.to_thread(self.cluster.close))

    @property
    def name(self) -> str:
        return self.cluster.name

    @property
    def version(self) -> str:
        return self.cluster.version

    @property
    def kubeconfig(self) -> Path:
        return self.cluster.kubeconfig

    @property
    def kubeconfig_dict(self) -> dict[str, Any]:
        return self.cluster.kubeconfig_dict

    @property
    def environment(self) -> dict[str, str]:
        return self.cluster.environment

    async def kr8s(self, **options: Any) -> Any:
        """A ``kr8s.asyncio`` API object; options are those of ``kr8s.asyncio.api``."""
        return await library("kr8s.asyncio").api(kubeconfig=str(self.kubeconfig), **options)

    def lightkube(self, **options: Any) -> Any:
        """A ``lightkube.AsyncClient``; options are its own."""
        return self.cluster.lightkube(client="AsyncClient", **options)

    def fork(self, *, name: str = "test-*", workloads: str = "run") -> AsyncCluster:
        """A copy of the cluster as it is now; to be used as an async context manager."""
        return AsyncCluster.of(self.cluster.fork(name=name, workloads=workloads))

    async def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> Any:
        return await asyncio.to_thread(self.cluster.request, method, path, body, kind, **query)

    async def apply(
        self, source: Source, *, namespace: str = DEFAULT_NAMESPACE, timeout: float = 30.0
    ) -> Sequence[dict[str, Any]]:
        return await asyncio.to_thread(self.cluster.apply, source, namespace=namespace, timeout=timeout)

    async def get(self, resource: str, name: str = "", *, namespace: str = DEFAULT_NAMESPACE) -> dict[str, Any]:
        return await asyncio.to_thread(self.cluster.get, resource, name, namespace=namespace)

    async def exists(self, resource: str, name: str = "", *, namespace: str = DEFAULT_NAMESPACE) -> bool:
        return await asyncio.to_thread(self.cluster.exists, resource, name, namespace=namespace)

    async def list(
        self, resource: str, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> Sequence[dict[str, Any]]:
        return await asyncio.to_thread(self.cluster.list, resource, namespace=namespace, labels=labels, fields=fields)

    async def patch(
        self,
        resource: str,
        name: Any = "",
        body: Any = None,
        *,
        type: str = "merge",
        namespace: str = DEFAULT_NAMESPACE,
        subresource: str = "",
    ) -> dict[str, Any]:
        return await asyncio.to_thread(
            self.cluster.patch, resource, name, body, type=type, namespace=namespace, subresource=subresource
        )

    async def delete(
        self, resource: str, name: str = "", *, namespace: str = DEFAULT_NAMESPACE, wait: float = 30.0
    ) -> None:
        await asyncio.to_thread(self.cluster.delete, resource, name, namespace=namespace, wait=wait)

    async def wait_for(
        self,
        condition: str | Callable[[], T | Awaitable[T]],
        timeout: float | str = 30.0,
        *,
        namespace: str = DEFAULT_NAMESPACE,
    ) -> T | Any:
        limit = checked(condition, timeout)
        if isinstance(condition, str):
            return await asyncio.to_thread(self.cluster.wait_for, condition, limit, namespace=namespace)
        trials = Trials()
        for pause in pauses(limit):
            with trials.one():
                result = condition()
                if inspect.isawaitable(result):
                    result = await result
                trials.result = result
            if trials.result:
                return trials.result
            await asyncio.sleep(pause)
        raise await asyncio.to_thread(self.cluster.timed_out, condition, limit, trials.seen)

    async def events(self, about: str = "", *, namespace: str = "") -> Sequence[dict[str, Any]]:
        return await asyncio.to_thread(self.cluster.events, about, namespace=namespace)

    async def logs(
        self, pod: str = "", *, namespace: str = DEFAULT_NAMESPACE, container: str = "", previous: bool = False
    ) -> str:
        return await asyncio.to_thread(
            self.cluster.logs, pod, namespace=namespace, container=container, previous=previous
        )

    async def dump(self, folder: str | Path) -> Path:
        return await asyncio.to_thread(self.cluster.dump, folder)
