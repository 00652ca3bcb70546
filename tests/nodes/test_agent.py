"""The pod state machine on simulated containers, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kloster.aio.clock import VirtualClock
from kloster.nodes import agent
from kloster.nodes.ports import RemovePod, StopPod
from kloster.nodes.simulated.executor import SimulatedExecutor, Timings

Object = dict[str, Any]


def make_pod(**spec: Any) -> Object:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("containers", [{"name": "app", "image": "app:1"}])
    return {
        "metadata": {"name": "web", "namespace": "shop", "uid": "11111111-1111", "generation": 1},
        "spec": {"nodeName": "node-1", **spec},
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


class Machine:
    """Runs the agent for one pod as the shell does, without an API."""

    def __init__(self, pod: Object, present: tuple[tuple[str, str], ...] = ()) -> None:
        self.clock = VirtualClock()
        self.present: dict[tuple[str, str], Object] = {key: {"data": {"key": "value"}} for key in present}
        self.executor = SimulatedExecutor(
            self.clock,
            "10.244.0.0/24",
            "172.18.0.2",
            lambda _: lambda kind, name: self.present.get((kind, name)),
            Timings(),
        )
        self.pod = pod
        self.phases: list[str] = []
        self.removed = False

    def turn(self) -> agent.Decision:
        """One look: decide, write the status, perform."""
        decision = agent.decide(self.pod, self.executor.observe(self.pod), self.clock.now(), "172.18.0.2")
        self.pod["status"] = decision.status
        self.phases.append(decision.status.get("phase", ""))
        for action in decision.actions:
            asyncio.run(self.executor.perform(self.pod, action))
        self.removed = self.removed or decision.remove
        return decision

    def run(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(int(seconds / 0.005)):
            self.turn()
            self.clock._now += 0.005

    @property
    def status(self) -> Object:
        status: Object = self.pod["status"]
        return status

    def condition(self, name: str) -> str:
        return next(str(one["status"]) for one in self.status["conditions"] if one["type"] == name)


def test_a_pod_comes_up_in_honest_steps() -> None:
    machine = Machine(make_pod())
    first = machine.turn()
    assert first.status["phase"] == "Pending"
    assert first.status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "podIP" not in first.status
    machine.run(0.1)
    assert machine.status["phase"] == "Running"
    assert machine.status["podIP"] == "10.244.0.3"
    assert machine.condition("Ready") == "True"
    assert machine.status["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert machine.status["containerStatuses"][0]["containerID"].startswith("simulated://")
    assert machine.phases[0] == "Pending"


def test_at_least_three_different_statuses_are_written() -> None:
    machine = Machine(make_pod())
    seen: list[Object] = []
    for _ in range(20):
        machine.turn()
        if not seen or seen[-1] != machine.status:
            seen.append(machine.status)
        machine.clock._now += 0.005
    assert len(seen) >= 3


def test_init_containers_run_one_after_the_other() -> None:
    spec = {"initContainers": [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]}
    machine = Machine(make_pod(**spec))
    started: list[str] = []
    for _ in range(60):
        machine.turn()
        for status in machine.status["initContainerStatuses"] + machine.status["containerStatuses"]:
            if "waiting" not in status["state"] and status["name"] not in started:
                started.append(status["name"])
        machine.clock._now += 0.005
    assert started == ["one", "two", "app"]
    assert machine.condition("Initialized") == "True"


def test_a_sidecar_only_has_to_start() -> None:
    spec = {"initContainers": [{"name": "mesh", "image": "i", "restartPolicy": "Always"}]}
    machine = Machine(make_pod(**spec))
    machine.run(0.2)
    assert machine.status["phase"] == "Running"
    assert "running" in machine.status["initContainerStatuses"][0]["state"]


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        pytest.param("Never", "0", "Succeeded", id="never-ok"),
        pytest.param("OnFailure", "0", "Succeeded", id="onfailure-ok"),
        pytest.param("Never", "3", "Failed", id="never-failed"),
        pytest.param("OnFailure", "3", "Running", id="onfailure-restarts"),
    ],
)
def test_pods_that_end(policy: str, code: str, phase: str) -> None:
    pod = make_pod(restartPolicy=policy)
    pod["metadata"]["annotations"] = {"simulated.kloster.dev/exit-code": code}
    machine = Machine(pod)
    machine.run(1.5)
    assert machine.status["phase"] == phase


def test_a_crashing_container_backs_off() -> None:
    pod = make_pod()
    pod["metadata"]["annotations"] = {
        "simulated.kloster.dev/run-seconds": "0.1",
        "simulated.kloster.dev/exit-code": "1",
    }
    machine = Machine(pod)
    machine.run(1.0)
    status = machine.status["containerStatuses"][0]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["state"]["waiting"]["message"].startswith(
        "back-off 10s restarting failed container=app pod=web_shop("
    )
    assert status["restartCount"] == 1  # the first restart comes at once, the second after ten seconds
    machine.run(10.0)
    assert machine.status["containerStatuses"][0]["restartCount"] == 2


def test_deletion_stops_within_the_grace_period_and_then_removes() -> None:
    machine = Machine(make_pod())
    machine.run(0.1)
    machine.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    machine.pod["metadata"]["deletionGracePeriodSeconds"] = 30
    decision = machine.turn()
    assert decision.actions == (StopPod(30.0),)
    assert not machine.removed
    machine.run(0.1)
    assert machine.removed
    assert machine.status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_a_volume_whose_configmap_is_missing_holds_the_pod_until_it_comes() -> None:
    pod = make_pod(volumes=[{"name": "config", "configMap": {"name": "settings"}}])
    machine = Machine(pod)
    machine.run(0.2)
    assert machine.status["phase"] == "Pending"
    events = machine.executor.take_events(pod["metadata"]["uid"])
    assert [event.message for event in events] == [
        'MountVolume.SetUp failed for volume "config" : configmap "settings" not found'
    ]
    machine.present[("configmap", "settings")] = {"data": {}}
    machine.run(2.5)
    assert machine.status["phase"] == "Running"


def test_an_environment_whose_secret_key_is_missing_is_an_error_of_the_container() -> None:
    source = {"secretKeyRef": {"name": "login", "key": "password"}}
    pod = make_pod(containers=[{"name": "app", "image": "a", "env": [{"name": "P", "valueFrom": source}]}])
    machine = Machine(pod, present=(("secret", "login"),))
    machine.run(0.2)
    waiting = machine.status["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {
        "reason": "CreateContainerConfigError",
        "message": "couldn't find key password in Secret shop/login",
    }


def test_a_restarted_kloster_finds_the_pods_running() -> None:
    machine = Machine(make_pod())
    machine.run(0.1)
    before = machine.status
    again = Machine(machine.pod)
    again.clock._now = machine.clock.now() + 60
    decision = again.turn()
    assert decision.status == before
    assert decision.actions == ()


def test_addresses_are_given_back() -> None:
    machine = Machine(make_pod())
    machine.run(0.1)
    asyncio.run(machine.executor.perform(machine.pod, RemovePod()))
    assert machine.executor._taken == set()


def test_active_deadline_fails_the_pod() -> None:
    machine = Machine(make_pod(activeDeadlineSeconds=1))
    machine.run(1.2)
    assert machine.status["phase"] == "Failed"
    assert machine.status["reason"] == "DeadlineExceeded"
