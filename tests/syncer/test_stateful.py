"""Random operations on both sides and random restarts: in the end both sides agree, and agree with the model.

The model knows only what the tenant wants: which names exist, with which data and image. What the host does to the
objects (deletes, edits) must not matter, except that a pod that the host deletes is gone.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.syncer.converged import check, quiet
from tests.syncer.world import Fault, Virtual, World

from kloster.aio.clock import VirtualClock
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES
from kloster.runtime.dispatcher import Dispatcher

NAMES = st.sampled_from(["a", "b", "a-x-b"])
NAMESPACES = st.sampled_from(["default", "c", "b-x-c"])
VALUES = st.sampled_from(["1", "2", "3"])
GRACE = st.sampled_from([None, 0, 1])

Name = tuple[str, str]


class Sides(RuleBasedStateMachine):
    """One host, one virtual cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.pods: dict[Name, str] = {}
        self.configs: dict[Name, str] = {}
        self.services: dict[Name, int] = {}

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        async def begin() -> None:
            clock = VirtualClock()
            self.dispatcher = await Dispatcher(clock, rng=random.Random(1)).__aenter__()
            self.world = World(clock, self.dispatcher)
            await self.world.start_host(nodes=2)
            await self.world.settle(1)
            self.dev: Virtual = await self.world.virtual("dev")
            for name in ("c", "b-x-c"):
                await self.dev.namespace(name)

        self.do(begin())

    # -- the tenant ------------------------------------------------------------------------------------------------

    @rule(name=NAMES, namespace=NAMESPACES, image=VALUES, config=NAMES)
    def create_pod(self, name: str, namespace: str, image: str, config: str) -> None:
        if (namespace, name) in self.pods:
            return
        container = {"name": "app", "image": f"app:{image}"}
        source = {"name": config, "optional": True}
        volumes = [{"name": "c", "configMap": source}, {"name": "s", "secret": {"secretName": "s", "optional": True}}]
        self.do(self.dev.pod(name, namespace, containers=[container], volumes=volumes))
        self.pods[(namespace, name)] = image

    @rule(name=NAMES, namespace=NAMESPACES, image=VALUES)
    def change_pod(self, name: str, namespace: str, image: str) -> None:
        if (namespace, name) in self.pods:
            patch = {"spec": {"containers": [{"name": "app", "image": f"app:{image}"}]}}
            self.do(self.dev.patch(PODS, name, patch, namespace, type="strategic"))
            self.pods[(namespace, name)] = image

    @rule(name=NAMES, namespace=NAMESPACES, grace=GRACE)
    def delete_pod(self, name: str, namespace: str, grace: int | None) -> None:
        if self.pods.pop((namespace, name), None) is None:
            return

        async def delete() -> None:
            await self.dev.delete(PODS, name, namespace, grace_period_seconds=grace)
            if grace is None or grace:
                await self.finished(name, namespace)

        self.do(delete())

    @rule(name=NAMES, namespace=NAMESPACES, value=VALUES)
    def put_config(self, name: str, namespace: str, value: str) -> None:
        data = {"data": {"k": value, "only" + value: value}}
        if (namespace, name) in self.configs:
            old = "only" + self.configs[(namespace, name)]
            extra = {"data": {**({old: None} if old not in data["data"] else {}), **data["data"]}}
            self.do(self.dev.patch(CONFIG_MAPS, name, extra, namespace))
        else:
            self.do(self.dev.create(CONFIG_MAPS, name, namespace, **data))
        self.configs[(namespace, name)] = value

    @rule(name=NAMES, namespace=NAMESPACES)
    def delete_config(self, name: str, namespace: str) -> None:
        if self.configs.pop((namespace, name), None) is not None:
            self.do(self.dev.delete(CONFIG_MAPS, name, namespace))

    @rule(namespace=NAMESPACES, value=VALUES)
    def put_secret(self, namespace: str, value: str) -> None:
        async def put() -> None:
            if await self.dev.find(SECRETS, "s", namespace) is None:
                await self.dev.create(SECRETS, "s", namespace, stringData={"k": value})
            else:
                await self.dev.delete(SECRETS, "s", namespace)

        self.do(put())

    @rule(name=NAMES, namespace=NAMESPACES, port=st.sampled_from([80, 81]))
    def put_service(self, name: str, namespace: str, port: int) -> None:
        spec = {"selector": {"p": str(port)}, "ports": [{"port": port}]}
        if (namespace, name) in self.services:
            self.do(self.dev.patch(SERVICES, name, {"spec": spec}, namespace))
        else:
            self.do(self.dev.create(SERVICES, name, namespace, spec=spec))
        self.services[(namespace, name)] = port

    @rule(name=NAMES, namespace=NAMESPACES)
    def delete_service(self, name: str, namespace: str) -> None:
        if self.services.pop((namespace, name), None) is not None:
            self.do(self.dev.delete(SERVICES, name, namespace))

    # -- the host --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.pods)
    @rule(data=st.data(), grace=GRACE)
    def host_deletes_pod(self, data: Any, grace: int | None) -> None:
        namespace, name = data.draw(st.sampled_from(sorted(self.pods)))

        async def delete() -> None:
            if await self.dev.host(PODS, name, namespace) is None:
                return
            host_name = self.dev.host_name(name, namespace)
            await self.world.host.delete(PODS, host_name, self.dev.tenancy.namespace, grace_period_seconds=grace)
            await self.sync_again()
            await self.world.settle(4)
            if await self.dev.find(PODS, name, namespace) is None:  # it had been scheduled; otherwise it is made anew
                del self.pods[(namespace, name)]

        self.do(delete())

    @rule(resource=st.sampled_from([CONFIG_MAPS, SECRETS, SERVICES]), data=st.data())
    def host_loses_something(self, resource: Any, data: Any) -> None:
        async def lose() -> None:
            found = await self.dev.on_host(resource)
            if found:
                name = data.draw(st.sampled_from(sorted(one["metadata"]["name"] for one in found)))
                try:
                    await self.world.host.delete(resource, name, self.dev.tenancy.namespace)
                except StatusError as error:
                    assert error.code == 404, "the syncer may have been faster in taking it away"

        self.do(lose())

    @rule()
    def host_edits(self) -> None:
        async def edit() -> None:
            for one in await self.dev.on_host(CONFIG_MAPS):
                patch = {"data": {"evil": "1"}, "metadata": {"annotations": {"kloster.dev/name": "forged"}}}
                try:
                    await self.world.host.patch(CONFIG_MAPS, one["metadata"]["name"], patch, self.dev.tenancy.namespace)
                except StatusError as error:
                    assert error.code == 404, "the syncer may have been faster in taking it away"

        self.do(edit())

    # -- time and restarts -----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.015, 0.3, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(self.world.settle(seconds))

    @rule()
    def restart(self) -> None:
        async def restart() -> None:
            await self.dev.stop_syncer()
            self.dev.start_syncer()

        self.do(restart())

    @rule(at=st.integers(1, 6), after=st.booleans())
    def crash_soon(self, at: int, after: bool) -> None:
        """The syncer runs on for a few writes, then ends; what follows happens without it until a restart."""

        async def crash() -> None:
            await self.dev.stop_syncer()
            self.dev.start_syncer(Fault(at, after))
            await self.dispatcher.wait_idle()
            await self.dev.stop_syncer()

        self.do(crash())

    async def sync_again(self) -> None:
        if self.dev.syncing is None:
            self.dev.start_syncer()

    async def finished(self, name: str, namespace: str) -> None:
        """Wait until a deleted pod has gone on both sides, so that its name is free."""
        await self.sync_again()
        await self.world.settle(4)
        assert await self.dev.find(PODS, name, namespace) is None

    def teardown(self) -> None:
        async def end() -> None:
            await self.dev.stop_syncer()
            self.dev.start_syncer()
            await self.world.settle(10)
            await self.agree()
            await check(self.dev)
            await quiet(self.world, self.dev)

        try:
            if hasattr(self, "dev"):
                self.do(end())
        finally:
            if hasattr(self, "world"):
                self.do(self.world.close())
                self.do(self.dispatcher.__aexit__(None, None, None))
            self.runner.close()

    async def agree(self) -> None:
        pods = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in await self.dev.all(PODS)}
        images = {name: one["spec"]["containers"][0]["image"] for name, one in pods.items()}
        assert images == {name: f"app:{image}" for name, image in self.pods.items()}
        assert {one["status"]["phase"] for one in pods.values()} <= {"Running"}
        for (namespace, name), value in self.configs.items():
            host = await self.dev.host(CONFIG_MAPS, name, namespace)
            if host is not None:
                assert host["data"] == {"k": value, "only" + value: value}
        for (namespace, name), port in self.services.items():
            service = await self.dev.host(SERVICES, name, namespace)
            assert service is not None
            assert service["spec"]["ports"][0]["port"] == port


TestSides = Sides.TestCase
TestSides.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
