"""A served cluster with controllers on virtual time, and a kubelet of one line: what controller tests run in."""

from __future__ import annotations

import asyncio
import functools
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from kloster.aio.clock import VirtualClock, rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import bootstrap, pipeline
from kloster.apiserver.authorization.always import AlwaysAllow
from kloster.apiserver.cluster import ServedCluster
from kloster.client.api import Resource, Source
from kloster.client.client import Client
from kloster.client.inprocess import InProcessTransport
from kloster.client.resources import EVENTS, NODES, PODS
from kloster.client.sources import LiveSource
from kloster.client.transport import User
from kloster.controllers import select
from kloster.kinds.catalog import catalog
from kloster.runtime.api import Context
from kloster.runtime.dispatcher import Attachment, Dispatcher
from kloster.runtime.recorder import EventRecorder
from kloster.stores.memory import MemoryStore

CONTAINERS = [{"name": "c", "image": "example.com/app:1"}]
NS = "default"
ADMIN = User("admin", groups=("system:masters",))


class SeededRandom:
    """Reproducible UIDs and suffixes."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def choice(self, count: int) -> int:
        return self._random.randrange(count)


class World:
    """One cluster. `settle` lets controllers finish; time moves by `advance` only."""

    def __init__(self, clock: VirtualClock, dispatcher: Dispatcher, served: ServedCluster) -> None:
        self.clock = clock
        self.dispatcher = dispatcher
        self.served = served
        self.client = Client(InProcessTransport(pipeline.handler(served), ADMIN), user_agent="test")
        self.source = LiveSource(served.view)
        self.attachment: Attachment | None = None

    def run(self, *patterns: str, source: Source | None = None, **more: Any) -> None:
        """Start controllers, by the names of ``--controllers``; `more` are settings."""
        recorder = EventRecorder(self.client, self.clock, self.dispatcher.spawn)
        settings = {"ca_bundle": "-----BEGIN CERTIFICATE-----", **more}
        context = Context("test", self.client, source or self.source, recorder, self.clock, settings)
        self.attachment = self.dispatcher.attach(context, select(patterns))

    async def settle(self) -> None:
        await self.dispatcher.wait_idle()
        await self.clock.advance(0.5)  # conflicts are retried within milliseconds
        await self.dispatcher.wait_idle()

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.settle()

    async def create(self, resource: Resource, name: str, **parts: Any) -> Object:
        metadata: Object = {"name": name, **parts.pop("metadata", {})}
        if resource.namespaced:
            metadata.setdefault("namespace", NS)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **parts}
        return await self.client.create(resource, body)

    async def get(self, resource: Resource, name: str, namespace: str = NS) -> Object:
        return await self.client.get(resource, namespace if resource.namespaced else "", name)

    async def exists(self, resource: Resource, name: str, namespace: str = NS) -> bool:
        try:
            await self.get(resource, name, namespace)
        except StatusError as error:
            assert error.code == 404
            return False
        return True

    async def patch(self, resource: Resource, name: str, patch: Object, **options: Any) -> Object:
        return await self.client.patch(resource, NS if resource.namespaced else "", name, patch, **options)

    async def all(self, resource: Resource, **options: Any) -> list[Object]:
        return list((await self.client.list(resource, NS if resource.namespaced else "", **options)).items)

    async def names(self, resource: Resource) -> list[str]:
        return [item["metadata"]["name"] for item in await self.all(resource)]

    async def events(self, reason: str = "") -> list[str]:
        found = sorted(await self.all(EVENTS), key=lambda item: int(item["metadata"]["resourceVersion"]))
        return [event["message"] for event in found if reason in ("", event["reason"])]

    async def node(self, name: str, **spec: Any) -> Object:
        """A node with exactly these taints: admission marks new ones as not ready, which nobody here takes back."""
        await self.create(NODES, name, spec=spec)
        return await self.patch(NODES, name, {"spec": {"taints": spec.get("taints")}})

    async def play_kubelet(self, *, phase: str = "Running", only: Callable[[Object], bool] | None = None) -> int:
        """Bring pods into a phase, end those that are being deleted. Returns how many were touched."""
        touched = 0
        for pod in await self.all(PODS):
            name = pod["metadata"]["name"]
            if "deletionTimestamp" in pod["metadata"]:
                await self.client.delete(PODS, NS, name, grace_period_seconds=0)
            elif pod["status"]["phase"] == "Pending" and (only is None or only(pod)):
                await self.set_phase(name, phase)
            else:
                continue
            touched += 1
        return touched

    async def set_phase(self, name: str, phase: str, *, ready: bool | None = None) -> None:
        at = rfc3339(self.clock.now())
        state: Object = {"running": {"startedAt": at}}
        if phase in ("Succeeded", "Failed"):
            state = {"terminated": {"exitCode": int(phase == "Failed"), "finishedAt": at, "startedAt": at}}
        is_ready = phase == "Running" if ready is None else ready
        status = {
            "phase": phase,
            "podIP": f"10.0.0.{1 + sum(name.encode()) % 200}",
            "conditions": [
                {"type": "Ready", "status": "True" if is_ready else "False", "lastTransitionTime": at},
            ],
            "containerStatuses": [
                {"name": "c", "image": "i", "imageID": "", "ready": is_ready, "restartCount": 0, "state": state}
            ],
        }
        await self.patch(PODS, name, {"status": status}, type="merge", subresource="status")

    async def converge(self, rounds: int = 30) -> None:
        """Controllers and kubelet in turn until neither has anything to do."""
        for _ in range(rounds):
            await self.settle()
            if not await self.play_kubelet():
                return
        raise AssertionError(f"still changing after {rounds} rounds")


def world(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test in a fresh cluster."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(_run(test))

    del run.__wrapped__  # pytest would take the parameter for a fixture
    return run


async def _run(test: Callable[[World], Awaitable[None]]) -> None:
    clock = VirtualClock()
    kinds = catalog("1.34")
    store = MemoryStore()
    served = ServedCluster(
        id="test", catalog=kinds, store=store, authorizer=AlwaysAllow(), clock=clock, random=SeededRandom()
    )
    puts = bootstrap.own(kinds, served.settings, served.random, clock.now(), client_ca="ca")
    await store.transact(lambda _: puts)
    try:
        async with asyncio.timeout(60), Dispatcher(clock, rng=random.Random(1)) as dispatcher:
            await test(World(clock, dispatcher, served))
    finally:
        served.close()
        await store.close()
