"""From what is observed of a pod's containers to its PodStatus, as the kubelet computes it.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ and the behaviour of kubelet 1.34.
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.nodes.ports import ContainerState, PodState


def restartable_init(container: Object) -> bool:
    """A sidecar: an init container that keeps running (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def init_done(pod: Object, state: PodState) -> bool:
    """Every init container has succeeded; sidecars have started."""
    for container in pod["spec"].get("initContainers", ()):
        seen = state.containers.get(container["name"])
        if seen is None:
            return False
        if restartable_init(container):
            if not seen.started:
                return False
        elif seen.phase != "terminated" or seen.exit_code != 0:
            return False
    return True


def phase(pod: Object, state: PodState) -> str:
    """Pending, Running, Succeeded or Failed."""
    if state.problem is not None and state.sandbox == "absent":
        return "Pending"
    policy = pod["spec"].get("restartPolicy", "Always")
    if policy == "Never" and _init_failed(pod, state):
        return "Failed"
    if not init_done(pod, state):
        return "Pending"
    main = [state.containers.get(container["name"]) for container in pod["spec"]["containers"]]
    if any(seen is None or (seen.phase == "waiting" and seen.previous is None) for seen in main):
        return "Pending"
    ended = [seen for seen in main if seen is not None and seen.phase == "terminated"]
    if len(ended) == len(main) and (policy != "Always" or state.stopping):
        if all(seen.exit_code == 0 for seen in ended):
            return "Succeeded"
        if policy in ("Never", "Always") or state.stopping:
            return "Failed"
    return "Running"


def _init_failed(pod: Object, state: PodState) -> bool:
    for container in pod["spec"].get("initContainers", ()):
        seen = state.containers.get(container["name"])
        if seen is not None and seen.phase == "terminated" and seen.exit_code != 0:
            return not restartable_init(container)
    return False


def compute(pod: Object, state: PodState, now: float, host_ip: str) -> Object:
    """The complete status the node wants the pod to have. Transition times are kept where nothing changed."""
    old = pod.get("status", {})
    new_phase = phase(pod, state)
    status: Object = {key: old[key] for key in ("reason", "message", "nominatedNodeName", "resize") if key in old}
    status["observedGeneration"] = pod["metadata"].get("generation", 1)
    status["phase"] = new_phase
    status["conditions"] = _conditions(pod, state, new_phase, now)
    status["hostIP"] = host_ip
    status["hostIPs"] = [{"ip": host_ip}]
    if state.ip:
        status["podIP"] = state.ip
        status["podIPs"] = [{"ip": state.ip}]
    status["startTime"] = old.get("startTime") or rfc3339(state.accepted_at)
    init = pod["spec"].get("initContainers", [])
    if init:
        status["initContainerStatuses"] = [_container_status(one, state, new_phase, init=True) for one in init]
    status["containerStatuses"] = [
        _container_status(one, state, new_phase, init=False) for one in pod["spec"]["containers"]
    ]
    ephemeral = pod["spec"].get("ephemeralContainers", [])
    if ephemeral:
        status["ephemeralContainerStatuses"] = [
            {**_container_status(one, state, new_phase, init=False), "ready": False} for one in ephemeral
        ]
    status["qosClass"] = old.get("qosClass", "BestEffort")
    return status


def _container_status(container: Object, state: PodState, pod_phase: str, *, init: bool) -> Object:
    seen = state.containers.get(container["name"]) or ContainerState(container["name"], "waiting")
    status: Object = {
        "name": container["name"],
        "state": _state(seen, _idle_reason(init, pod_phase, state)),
        "lastState": _state(seen.previous, "") if seen.previous is not None else {},
        "ready": seen.ready or (init and seen.phase == "terminated" and seen.exit_code == 0),
        "restartCount": seen.restarts,
        "image": container.get("image", ""),
        "imageID": seen.image_id,
    }
    if seen.id:
        status["containerID"] = seen.id
    status["started"] = seen.phase == "running" and seen.started
    return status


def _idle_reason(init: bool, pod_phase: str, state: PodState) -> str:
    if not init and pod_phase == "Pending" and any(_running(seen) for seen in state.containers.values()):
        return "PodInitializing"
    return "ContainerCreating"


def _running(seen: ContainerState) -> bool:
    return seen.phase == "running"


def _state(seen: ContainerState, idle_reason: str) -> Object:
    if seen.phase == "running":
        return {"running": {"startedAt": rfc3339(seen.started_at)}}
    if seen.phase == "terminated":
        ended: Object = {"exitCode": seen.exit_code, "reason": seen.reason or _exit_reason(seen.exit_code)}
        if seen.message:
            ended["message"] = seen.message
        ended["startedAt"] = rfc3339(seen.started_at)
        ended["finishedAt"] = rfc3339(seen.finished_at)
        if seen.id:
            ended["containerID"] = seen.id
        return {"terminated": ended}
    waiting: Object = {"reason": seen.reason or idle_reason}
    if seen.message:
        waiting["message"] = seen.message
    return {"waiting": waiting}


def _exit_reason(code: int) -> str:
    return "Completed" if code == 0 else "Error"


def _conditions(pod: Object, state: PodState, pod_phase: str, now: float) -> list[Object]:
    """The kubelet's conditions in its order, then those of others (PodScheduled, readiness gates) as they stand."""
    before = {one["type"]: one for one in pod.get("status", {}).get("conditions", ())}
    unready = [
        one["name"]
        for one in pod["spec"]["containers"]
        if (seen := state.containers.get(one["name"])) is None or not seen.ready
    ]
    not_ready = _not_ready(pod_phase, unready)
    missing = [
        gate["conditionType"]
        for gate in pod["spec"].get("readinessGates", ())
        if before.get(gate["conditionType"], {}).get("status") != "True"
    ]
    initialized = init_done(pod, state) or pod_phase == "Succeeded"
    ready = not_ready
    if not ready and missing:
        texts = (f'corresponding condition of pod readiness gate "{gate}" does not exist.' for gate in missing)
        ready = ("ReadinessGatesNotReady", " ".join(texts))
    wanted = [
        ("PodReadyToStartContainers", state.sandbox == "ready", None),
        ("Initialized", initialized, None if initialized else _uninitialized(pod, state, pod_phase)),
        ("Ready", not ready, ready),
        ("ContainersReady", not not_ready, not_ready),
    ]
    generation = pod["metadata"].get("generation", 1)
    own = [_condition(before.get(name), name, true, why, now, generation) for name, true, why in wanted]
    names = {name for name, _, _ in wanted}
    others = [one for name, one in before.items() if name not in names]
    return own + others


def _not_ready(pod_phase: str, unready: Iterable[str]) -> tuple[str, str] | None:
    if pod_phase == "Succeeded":
        return ("PodCompleted", "")
    if pod_phase == "Failed":
        return ("PodFailed", "")
    listed = list(unready)
    if listed:
        return ("ContainersNotReady", f"containers with unready status: [{' '.join(listed)}]")
    return None


def _uninitialized(pod: Object, state: PodState, pod_phase: str) -> tuple[str, str]:
    if pod_phase == "Failed":
        return ("PodFailed", "")
    waiting = [
        one["name"]
        for one in pod["spec"].get("initContainers", ())
        if (seen := state.containers.get(one["name"])) is None
        or not (seen.started if restartable_init(one) else seen.phase == "terminated" and seen.exit_code == 0)
    ]
    return ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(waiting)}]")


def _condition(
    old: Object | None, name: str, true: bool, why: tuple[str, str] | None, now: float, generation: int
) -> Object:
    status = "True" if true else "False"
    kept = old is not None and old.get("status") == status
    condition: Object = {
        "type": name,
        "observedGeneration": generation,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": (old or {}).get("lastTransitionTime") if kept else rfc3339(now),
    }
    if why is not None:
        condition["reason"] = why[0]
        if why[1]:
            condition["message"] = why[1]
    return condition
