"""The pod state machine of a node: pure, the same for simulated pods and for real containers.

The model: a pod's life on a node is a function of three things, the pod as the API has it, what is observed of its
containers, and the time. `decide` maps them to the actions that bring the containers nearer to what the pod asks for,
to the status that the pod should have, and to the moment when it is worth looking again. It keeps no state: after a
restart of Kloster the same observation leads to the same decision.

Order as the kubelet's: sandbox; init containers one after the other (a sidecar only has to have started); then
all containers; restarts by policy with back-off 10 s, 20 s … 5 min; deletion stops everything within the grace period,
and only when all has ended is the object removed from the API.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kloster.apimachinery import Object
from kloster.nodes import status as pod_status
from kloster.nodes.ports import Action, ContainerState, PodState, RemovePod, StartContainer, StartSandbox, StopPod
from kloster.workloads import pods

BACKOFF_FIRST = 10.0
BACKOFF_MOST = 300.0
RETRY = 2.0  # seconds between attempts at what failed for a missing ConfigMap, Secret or claim


@dataclass(frozen=True, slots=True)
class Decision:
    """actions, in order; the wanted status; look again after seconds; the API object is to be removed."""

    actions: tuple[Action, ...]
    status: Object
    after: float | None = None
    remove: bool = False


def decide(pod: Object, state: PodState, now: float, host_ip: str) -> Decision:
    """What is to be done for `pod` now."""
    if pod["metadata"].get("deletionTimestamp"):
        return _terminate(pod, state, now, host_ip)
    if pods.is_terminal(pod):
        done = (RemovePod(),) if state.sandbox != "absent" else ()
        return Decision(done, pod["status"])
    if _past_deadline(pod, state, now):
        return _fail(pod, state, now, host_ip)
    shown = _with_backoff(pod, state, now)
    status = pod_status.compute(pod, shown, now, host_ip)
    actions, after = _start(pod, state, now)
    return Decision(actions, status, _sooner(after, _deadline_left(pod, state, now)))


def _start(pod: Object, state: PodState, now: float) -> tuple[tuple[Action, ...], float | None]:
    if state.sandbox == "absent":
        left = 0.0 if state.problem is None else state.tried_at + RETRY - now
        return ((), left) if left > 0 else ((StartSandbox(),), RETRY)
    if state.sandbox != "ready":
        return (), None
    spec = pod["spec"]
    actions: list[Action] = []
    after: float | None = None
    for container in spec.get("initContainers", ()):
        sidecar = pod_status.restartable_init(container)
        action, wait = _advance(container, state, now, policy=_init_policy(pod, container))
        actions.extend(action)
        after = _sooner(after, wait)
        seen = state.containers.get(container["name"])
        finished = seen is not None and (
            seen.started if sidecar else seen.phase == "terminated" and seen.exit_code == 0
        )
        if not finished:
            return tuple(actions), after
    policy = spec.get("restartPolicy", "Always")
    for container in spec["containers"]:
        action, wait = _advance(container, state, now, policy=policy)
        actions.extend(action)
        after = _sooner(after, wait)
    for container in spec.get("ephemeralContainers", ()):  # started once, never restarted
        action, wait = _advance(container, state, now, policy="Never")
        actions.extend(action)
        after = _sooner(after, wait)
    return tuple(actions), after


def _init_policy(pod: Object, container: Object) -> str:
    if pod_status.restartable_init(container):
        return "Always"
    return "OnFailure" if pod["spec"].get("restartPolicy", "Always") != "Never" else "Never"


def _advance(container: Object, state: PodState, now: float, *, policy: str) -> tuple[tuple[Action, ...], float | None]:
    name = container["name"]
    seen = state.containers.get(name)
    if seen is None:
        return (StartContainer(name),), None
    if seen.phase == "waiting" and seen.reason:
        left = seen.started_at + RETRY - now
        return ((), left) if left > 0 else ((StartContainer(name, seen.restarts),), RETRY)
    if seen.phase != "terminated" or not _restarts(seen, policy):
        return (), None
    left = backoff(seen) - (now - seen.finished_at)
    if left > 0:
        return (), left
    return (StartContainer(name, seen.restarts + 1),), None


def _restarts(seen: ContainerState, policy: str) -> bool:
    return policy == "Always" or (policy == "OnFailure" and seen.exit_code != 0)


def backoff(seen: ContainerState) -> float:
    """Seconds between a container's end and its next start. The first restart is immediate, as the kubelet's."""
    if seen.restarts == 0:
        return 0.0
    return float(min(BACKOFF_FIRST * 2 ** (seen.restarts - 1), BACKOFF_MOST))


def _with_backoff(pod: Object, state: PodState, now: float) -> PodState:
    """Containers that wait for their restart are shown as waiting with CrashLoopBackOff."""
    policies = {one["name"]: pod["spec"].get("restartPolicy", "Always") for one in pod["spec"]["containers"]}
    shown = dict(state.containers)
    for name, seen in state.containers.items():
        policy = policies.get(name)
        if policy is None or seen.phase != "terminated" or not _restarts(seen, policy):
            continue
        if now - seen.finished_at < backoff(seen):
            text = (
                f"back-off {_go_seconds(backoff(seen))} restarting failed container={name} "
                f"pod={pod['metadata']['name']}_{pod['metadata'].get('namespace', '')}({pod['metadata']['uid']})"
            )
            shown[name] = replace(
                seen, phase="waiting", reason="CrashLoopBackOff", message=text, ready=False, previous=seen
            )
    return replace(state, containers=shown)


def _go_seconds(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"


def _terminate(pod: Object, state: PodState, now: float, host_ip: str) -> Decision:
    if pods.is_terminal(pod):
        return Decision((RemovePod(),), pod["status"], remove=True)
    running = [one for one in state.containers.values() if one.phase == "running"]
    stopped = replace(state, stopping=True)
    status = pod_status.compute(pod, stopped, now, host_ip)
    if running:
        if state.stopping:
            return Decision((), status)
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        return Decision((StopPod(grace),), status)
    return Decision((RemovePod(),), status, remove=True)


def _past_deadline(pod: Object, state: PodState, now: float) -> bool:
    left = _deadline_left(pod, state, now)
    return left is not None and left <= 0


def _deadline_left(pod: Object, state: PodState, now: float) -> float | None:
    limit = pod["spec"].get("activeDeadlineSeconds")
    return None if limit is None else float(limit) - (now - state.accepted_at)


def _fail(pod: Object, state: PodState, now: float, host_ip: str) -> Decision:
    status = pod_status.compute(pod, replace(state, stopping=True), now, host_ip)
    status["phase"] = "Failed"
    status["reason"] = "DeadlineExceeded"
    status["message"] = "Pod was active on the node longer than the specified deadline"
    running = any(one.phase == "running" for one in state.containers.values())
    return Decision((StopPod(0.0),) if running else (RemovePod(),), status)


def _sooner(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
