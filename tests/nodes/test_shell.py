"""The shell around the agent: it always knows when to look again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kloster.aio.clock import VirtualClock
from kloster.client.api import Change
from kloster.client.resources import PODS
from kloster.nodes.node import Node, NodeConfig, _own, _run
from kloster.nodes.simulated.executor import SimulatedExecutor
from kloster.runtime.api import Context

Object = dict[str, Any]


class Creeping(VirtualClock):
    """Time passes with every look at the clock, as on a busy machine: anything may happen between two observations."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self._step = step

    def now(self) -> float:
        self._now += self._step
        return self._now


class SlowClient:
    """Writes take `seconds`, during which containers go on."""

    def __init__(self, clock: VirtualClock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    async def patch(self, resource: Any, namespace: str, name: str, patch: Object, **_: Any) -> Object:
        await self._clock.advance(self._seconds)
        self.pod = {**self.pod, "status": {**self.pod["status"], **patch["status"]}}
        return self.pod

    pod: Object


class Silent:
    def event(self, *_: Any, **__: Any) -> None:
        """Nobody reads them here."""

    def for_component(self, _: str) -> Silent:
        return self


@pytest.mark.parametrize("write", [0.0, 0.0099, 0.015, 0.05])
@pytest.mark.parametrize("step", [0.0, 0.001, 0.003, 0.004, 0.006, 0.011])
def test_a_pod_is_looked_at_until_it_runs_however_slow_everything_is(write: float, step: float) -> None:
    async def body() -> None:
        clock = Creeping(step)
        executor = SimulatedExecutor(clock, "10.244.0.0/24", "172.18.0.2", lambda _: lambda kind, name: None)
        node = Node(NodeConfig("node-1", "172.18.0.2", "10.244.0.0/24", "simulated://", "v1"), executor)
        client = SlowClient(clock, write)
        client.pod = {
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 1},
            "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "app:1"}]},
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        }
        context = Context("test", client, None, Silent(), clock)  # type: ignore[arg-type]
        for _ in range(20):
            after = await _run(context, node, client.pod)
            if client.pod["status"]["phase"] == "Running":
                return
            assert after is not None, "nobody would look at the pod again"
            await clock.advance(after)
        raise AssertionError(client.pod["status"])

    asyncio.run(body())


def test_a_pod_that_has_ended_is_left_alone() -> None:
    """Its sandbox is removed once; then nothing is left to look at, also after a restart of the node."""

    async def body() -> None:
        clock = VirtualClock()
        executor = SimulatedExecutor(clock, "10.244.0.0/24", "172.18.0.2", lambda _: lambda kind, name: None)
        node = Node(NodeConfig("node-1", "172.18.0.2", "10.244.0.0/24", "simulated://", "v1"), executor)
        client = SlowClient(clock, 0.0)
        client.pod = {
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 1},
            "spec": {
                "nodeName": "node-1",
                "restartPolicy": "Never",
                "containers": [{"name": "app", "image": "app:1"}],
            },
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        }
        context = Context("test", client, None, Silent(), clock)  # type: ignore[arg-type]
        for _ in range(20):
            after = await _run(context, node, client.pod)
            if after is None:
                break
            await clock.advance(after)
        ended = client.pod["status"]
        assert ended["phase"] == "Succeeded"
        for _ in range(3):
            assert await _run(context, node, client.pod) is None
        assert client.pod["status"] == ended

    asyncio.run(body())


def _pod(status: Object, **metadata: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", **metadata},
        "spec": {"nodeName": "node-1", "containers": []},
        "status": status,
    }


@pytest.mark.parametrize(
    ("old", "new", "own"),
    [
        pytest.param(_pod({"phase": "Pending"}), _pod({"phase": "Running"}), True, id="the status that is written"),
        pytest.param(_pod({"phase": "Pending"}), _pod({"phase": "Failed"}), False, id="another status"),
        pytest.param(_pod({"phase": "Pending"}), _pod({"phase": "Running"}, uid="v"), False, id="another pod"),
        pytest.param(
            _pod({"phase": "Running"}), _pod({"phase": "Running"}, deletionTimestamp="now"), False, id="a deletion"
        ),
        pytest.param(None, _pod({"phase": "Running"}), False, id="a new pod"),
        pytest.param(_pod({"phase": "Running"}), None, False, id="a pod that has gone"),
    ],
)
def test_a_node_is_not_woken_by_what_it_writes_itself(old: Object | None, new: Object | None, own: bool) -> None:
    assert _own(Change(PODS, old, new), {"u": {"phase": "Running"}}) is own
