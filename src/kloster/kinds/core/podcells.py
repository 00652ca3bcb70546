"""The row of a pod: above all its STATUS, which sums up phase, conditions and the states of all containers.

Later facts override earlier ones: phase, reason, scheduling gates, the first init container that has not finished, the
containers from last to first, deletion. Source: k8s.io/kubernetes/pkg/printers/internalversion (printPod).
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import times


class _Summary:
    """What is gathered while looking through the containers."""

    def __init__(self, reason: str, containers: int) -> None:
        self.reason = reason
        self.containers = containers
        self.ready = 0
        self.restarts = 0
        self.restarted: float | None = None

    def count(self, container: Object) -> None:
        self.restarts += container.get("restartCount") or 0
        terminated = (container.get("lastState") or {}).get("terminated") or {}
        finished = times.parse(terminated.get("finishedAt"))
        if finished is not None and (self.restarted is None or self.restarted < finished):
            self.restarted = finished

    def restarts_text(self, now: float) -> str:
        if self.restarts and self.restarted is not None:
            return f"{self.restarts} ({table.duration(now - self.restarted)} ago)"
        return str(self.restarts)


def _has_condition(status: Object, kind: str, value: str = "True") -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == value
        for condition in status.get("conditions") or ()
    )


def _exit_text(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _look_through_init_containers(pod: Object, summary: _Summary) -> tuple[bool, _Summary]:
    """Whether the pod is still initializing; and the counts of its sidecars, which alone matter afterwards."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    listed = spec.get("initContainers") or ()
    sidecars = {item.get("name") for item in listed if item.get("restartPolicy") == "Always"}
    summary.containers += sum(item.get("restartPolicy") == "Always" for item in listed)
    counts = _Summary("", 0)
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        summary.count(container)
        sidecar = container.get("name") in sidecars
        if sidecar:
            counts.count(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = f"Init:{_exit_text(terminated)}"
        elif waiting.get("reason") not in (None, "", "PodInitializing"):
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{index}/{len(listed)}"
        return True, counts
    return False, counts


def _look_through_containers(status: Object, summary: _Summary) -> None:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        summary.count(container)
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _exit_text(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if _has_condition(status, "Ready") else "NotReady"


def _summarize(pod: Object) -> _Summary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    phase = status.get("phase", "")
    summary = _Summary(status.get("reason") or phase, len(spec.get("containers") or ()))
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            summary.reason = "SchedulingGated"
    initializing, sidecars = _look_through_init_containers(pod, summary)
    if not initializing or _has_condition(status, "Initialized"):
        summary.restarts, summary.restarted = sidecars.restarts, sidecars.restarted
        _look_through_containers(status, summary)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif phase not in ("Failed", "Succeeded"):
            summary.reason = "Terminating"
    return summary


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return "<none>"
    first: dict[str, str] = {}
    for condition in status.get("conditions") or ():
        first.setdefault(condition.get("type", ""), condition.get("status", ""))
    return f"{sum(first.get(gate.get('conditionType', '')) == 'True' for gate in gates)}/{len(gates)}"


def cells(pod: Object, now: float) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    summary = _summarize(pod)
    return [
        pod["metadata"]["name"],
        f"{summary.ready}/{summary.containers}",
        summary.reason,
        summary.restarts_text(now),
        table.age(pod, now),
        (status.get("podIPs") or [{}])[0].get("ip") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        _readiness_gates(spec, status),
    ]
