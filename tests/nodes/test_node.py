"""The shell around the pod state machine: what it looks at again, and when."""

from __future__ import annotations

import asyncio
from typing import Any

from kloster.aio.clock import VirtualClock
from kloster.client.resources import PODS
from kloster.nodes.node import Node, NodeConfig, agent_controller
from kloster.nodes.simulated.executor import SimulatedExecutor, Timings
from kloster.runtime.api import Context, Key

KEY = Key("shop", "web")


class Slow:
    """A cluster with one pod, in which a write takes a while."""

    def __init__(self, seconds: float) -> None:
        self.clock = VirtualClock()
        self.seconds = seconds
        self.pod: dict[str, Any] = {
            "metadata": {"name": "web", "namespace": "shop", "uid": "11111111-1111", "generation": 1},
            "spec": {"nodeName": "node-1", "restartPolicy": "Never", "containers": [{"name": "app", "image": "app:1"}]},
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        }

    def get(self, resource: object, namespace: str, name: str) -> dict[str, Any]:
        assert resource == PODS
        return self.pod

    async def patch(self, resource: object, namespace: str, name: str, body: Any, **_: str) -> dict[str, Any]:
        await self.clock.advance(self.seconds)
        status = {**self.pod["status"], **body["status"]}
        self.pod = {**self.pod, "status": {key: value for key, value in status.items() if value is not None}}
        return self.pod

    def for_component(self, _: str) -> Slow:
        return self

    def event(self, *_: object, **__: object) -> None:
        pass


def test_what_changed_while_a_status_was_written_is_looked_at() -> None:
    """Writing takes longer than a sandbox or a container needs to start: none of their changes may be missed."""

    async def body() -> None:
        world = Slow(seconds=5.0)
        config = NodeConfig("node-1", "172.18.0.2", "10.244.0.0/24", "simulated://", "v1.34.4")
        executor = SimulatedExecutor(world.clock, config.pod_cidr, config.ip, lambda _: lambda *__: None, Timings())
        controller = agent_controller({"node-1": Node(config, executor)})
        context = Context("test", world, world, world, world.clock)  # type: ignore[arg-type]
        for _ in range(20):
            result = await controller.reconcile(context, KEY)
            if result is None or result.after is None:
                break
            assert result.after >= 0
            await world.clock.advance(result.after)
        assert world.pod["status"]["phase"] == "Succeeded"

    asyncio.run(body())
