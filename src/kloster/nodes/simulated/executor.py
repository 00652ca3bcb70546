"""Containers as a function of time.

The model: nothing is running and nothing has to be woken. Starting a sandbox or a container only notes *when* that was
asked for; `observe` computes from those moments what a real node would show now, and in how many seconds that will
change. A container of a pod that is meant to end (restartPolicy other than Always) ends after `Timings.run`, or
after what the pod's annotation says:

    simulated.kloster.dev/run-seconds   how long each container of the pod runs before it ends by itself
    simulated.kloster.dev/exit-code     with which exit code (default 0)
    simulated.kloster.dev/fault         what happens to its running containers when this is written: ``crash``, ``oom``
                                        (killed for its memory), ``hang`` (runs on, ready no longer), ``recover``;
                                        then ``code=N``, ``container=NAME``, and something that is new every time:
                                        ``crash code=3 id=7``

After a restart of Kloster the executor takes over what the pod's status says: pods keep running.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kloster.aio.clock import Clock, parse_rfc3339
from kloster.apimachinery import Object
from kloster.nodes import references
from kloster.nodes.ports import (
    Action,
    ContainerState,
    NodeEvent,
    PodState,
    RemovePod,
    StartContainer,
    StartSandbox,
    StopPod,
)
from kloster.workloads import pods

RUN_SECONDS = "simulated.kloster.dev/run-seconds"
EXIT_CODE = "simulated.kloster.dev/exit-code"
FAULT = "simulated.kloster.dev/fault"
MOST_SECONDS = 10 * 365 * 86400.0
MOST_CODE = 255


@dataclass(frozen=True, slots=True)
class Timings:
    """How long things take here, in seconds: sandbox, start of a container, an init step, a job's run, a stop."""

    sandbox: float = 0.01
    start: float = 0.01
    init: float = 0.01
    run: float = 1.0
    stop: float = 0.02


@dataclass(slots=True)
class _Container:
    started_at: float
    ends_at: float | None
    exit_code: int
    attempt: int
    id: str
    image_id: str
    stopped: bool = False
    waiting: tuple[str, str] | None = None
    previous: ContainerState | None = None
    hangs: bool = False
    reason: str = ""


@dataclass(slots=True)
class _Pod:
    accepted_at: float
    sandbox_at: float | None = None
    ip: str = ""
    stopping: bool = False
    problem: tuple[str, str] | None = None
    tried_at: float = 0.0
    fault: str = ""  # the last that happened
    containers: dict[str, _Container] = field(default_factory=dict)
    events: list[NodeEvent] = field(default_factory=list)


class SimulatedExecutor:
    """The pods of one simulated node. `lookup(namespace)` gives access to what pods refer to."""

    def __init__(
        self,
        clock: Clock,
        pod_cidr: str,
        host_ip: str,
        lookup: Callable[[str], references.Lookup],
        timings: Timings | None = None,
    ) -> None:
        self._clock = clock
        self._timings = timings or Timings()
        self._host_ip = host_ip
        self._lookup = lookup
        self._pods: dict[str, _Pod] = {}
        self._network = ipaddress.ip_network(pod_cidr)
        self._taken: set[str] = set()
        self._next = 1

    def observe(self, pod: Object) -> PodState:
        now = self._clock.now()
        record = self._record(pod, now)
        changes = _Soonest(now)
        if record.sandbox_at is None:
            return PodState(
                record.accepted_at, problem=record.problem, tried_at=record.tried_at, stopping=record.stopping
            )
        if changes.later(record.sandbox_at):
            return PodState(record.accepted_at, "starting", stopping=record.stopping, changes_in=changes.seconds)
        self._suffer(pod, record, now)
        states = {name: self._state(name, one, now, changes) for name, one in record.containers.items()}
        return PodState(
            record.accepted_at,
            "ready",
            record.ip,
            states,
            stopping=record.stopping,
            changes_in=changes.seconds,
        )

    async def perform(self, pod: Object, action: Action) -> None:
        now = self._clock.now()
        record = self._record(pod, now)
        match action:
            case StartSandbox():
                self._start_sandbox(pod, record, now)
            case StartContainer(name, attempt):
                self._start_container(pod, record, name, attempt, now)
            case StopPod(grace):
                self._stop(pod, record, min(grace, self._timings.stop), now)
            case RemovePod():
                self.forget(pod["metadata"]["uid"])

    def take_events(self, uid: str) -> list[NodeEvent]:
        record = self._pods.get(uid)
        if record is None or not record.events:
            return []
        events, record.events = record.events, []
        return events

    def forget(self, uid: str) -> None:
        """The pod is gone: free its address."""
        record = self._pods.pop(uid, None)
        if record is not None and record.ip != self._host_ip:
            self._taken.discard(record.ip)

    # -- what a pod's containers do ---------------------------------------------------------------------------------

    def _record(self, pod: Object, now: float) -> _Pod:
        uid = pod["metadata"]["uid"]
        record = self._pods.get(uid)
        if record is None:
            record = self._pods[uid] = self._take_over(pod, now)
        return record

    def _take_over(self, pod: Object, now: float) -> _Pod:
        """A pod that this executor has not seen: new, or running since before a restart."""
        status = pod.get("status", {})
        accepted = parse_rfc3339(status["startTime"]) if status.get("startTime") else now
        record = _Pod(accepted, fault=_annotation(pod, FAULT))
        if not status.get("podIP") or pods.is_terminal(pod):
            return record  # nothing of an ended pod is left here
        record.sandbox_at = accepted
        record.ip = status["podIP"]
        self._taken.add(record.ip)
        listed = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for seen in [one for part in listed for one in status.get(part, ())]:
            container = _from_status(seen)
            if container is not None:
                record.containers[seen["name"]] = container
                if container.ends_at is None:
                    container.ends_at = self._end(pod, seen["name"], container.started_at)
        return record

    def _start_sandbox(self, pod: Object, record: _Pod, now: float) -> None:
        lookup = self._lookup(pod["metadata"].get("namespace", ""))
        problem = references.missing_volume(pod, lookup)
        if problem is not None:
            if problem != record.problem:
                record.events.append(NodeEvent("Warning", *problem))
            record.problem, record.tried_at = problem, now
            return
        record.problem = None
        record.sandbox_at = now + self._timings.sandbox
        record.ip = self._host_ip if pod["spec"].get("hostNetwork") else self._allocate()

    def _start_container(self, pod: Object, record: _Pod, name: str, attempt: int, now: float) -> None:
        spec = _spec(pod, name)
        lookup = self._lookup(pod["metadata"].get("namespace", ""))
        problem = references.missing_environment(pod, spec, lookup)
        old = record.containers.get(name)
        previous = None if old is None or old.waiting else self._state(name, old, now, _Soonest(now))
        if problem is not None:
            if old is None or old.waiting != problem:
                record.events.append(NodeEvent("Warning", "Failed", f"Error: {problem[1]}", name))
            record.containers[name] = _Container(now, None, 0, attempt, "", "", waiting=problem, previous=previous)
            return
        image = spec.get("image", "")
        started = now + self._timings.start
        digest = hashlib.sha256(f"{pod['metadata']['uid']}/{name}/{attempt}".encode()).hexdigest()
        record.containers[name] = _Container(
            started,
            self._end(pod, name, started),
            int(_number(pod, EXIT_CODE, MOST_CODE) or 0),
            attempt,
            f"simulated://{digest}",
            f"simulated://{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}",
            previous=previous,
        )
        record.events.append(
            NodeEvent("Normal", "Pulled", f'Container image "{image}" already present on machine', name)
        )
        record.events.append(NodeEvent("Normal", "Created", f"Created container: {name}", name))
        record.events.append(NodeEvent("Normal", "Started", f"Started container {name}", name))

    def _end(self, pod: Object, name: str, started: float) -> float | None:
        for init in pod["spec"].get("initContainers", ()):
            if init["name"] == name:
                return None if init.get("restartPolicy") == "Always" else started + self._timings.init
        asked = _number(pod, RUN_SECONDS, MOST_SECONDS)
        if asked is not None:
            return started + asked
        return None if pod["spec"].get("restartPolicy", "Always") == "Always" else started + self._timings.run

    def _suffer(self, pod: Object, record: _Pod, now: float) -> None:
        """Let the fault happen that has been written onto the pod since the last time."""
        text = _annotation(pod, FAULT)
        if text == record.fault or not record.containers:
            return
        record.fault = text
        kind, _, rest = text.partition(" ")
        options = dict(part.partition("=")[::2] for part in rest.split())
        inits = {init["name"] for init in pod["spec"].get("initContainers", ())}
        for name, one in record.containers.items():
            runs = one.waiting is None and one.started_at <= now and (one.ends_at is None or one.ends_at > now)
            if not runs or (name != options["container"] if options.get("container") else name in inits):
                continue
            if kind in ("hang", "recover"):
                one.hangs = kind == "hang"
            elif kind in ("crash", "oom"):
                code = options.get("code", "")
                one.ends_at = now
                one.exit_code = min(int(code), MOST_CODE) if code.isdecimal() else 137 if kind == "oom" else 1
                one.reason = "OOMKilled" if kind == "oom" else ""

    def _stop(self, pod: Object, record: _Pod, seconds: float, now: float) -> None:
        record.stopping = True
        for name, one in record.containers.items():
            if one.waiting is None and (one.ends_at is None or one.ends_at > now):
                one.ends_at = now + seconds
                one.stopped = True
                record.events.append(NodeEvent("Normal", "Killing", f"Stopping container {name}", name))

    def _state(self, name: str, one: _Container, now: float, changes: _Soonest) -> ContainerState:
        seen = ContainerState(name, "waiting", restarts=one.attempt, previous=one.previous)
        if one.waiting is not None:
            return replace(seen, reason=one.waiting[0], message=one.waiting[1], started_at=one.started_at)
        if changes.later(one.started_at):
            return seen
        if one.ends_at is not None and not changes.later(one.ends_at):
            return replace(
                seen,
                phase="terminated",
                started_at=one.started_at,
                finished_at=one.ends_at,
                exit_code=0 if one.stopped else one.exit_code,
                reason=one.reason,
                id=one.id,
                image_id=one.image_id,
            )
        return replace(
            seen,
            phase="running",
            started_at=one.started_at,
            id=one.id,
            image_id=one.image_id,
            started=True,
            ready=not one.hangs,
        )

    def _allocate(self) -> str:
        size = self._network.num_addresses
        for step in range(size):
            offset = 2 + (self._next + step) % (size - 3)
            address = str(self._network[offset])
            if address not in self._taken:
                self._next += step + 1
                self._taken.add(address)
                return address
        raise RuntimeError(f"no address left in the node's pod range {self._network}")


class _Soonest:
    """Collects the moments at which an observation will change, and keeps the nearest."""

    def __init__(self, now: float) -> None:
        self._now = now
        self.seconds: float | None = None

    def at(self, moment: float) -> None:
        left = moment - self._now
        if self.seconds is None or left < self.seconds:
            self.seconds = left

    def later(self, moment: float) -> bool:
        """Whether `moment` is still to come; if so it is noted."""
        if moment <= self._now:
            return False
        self.at(moment)
        return True


def _number(pod: Object, name: str, most: float) -> float | None:
    """A number from 0 to `most`, None for anything else: annotations come from tenants, and a moment that is no number
    would never come."""
    try:
        value = float(_annotation(pod, name))
    except ValueError:
        return None
    return value if 0 <= value <= most else None


def _annotation(pod: Object, name: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(name, ""))


def _spec(pod: Object, name: str) -> Object:
    spec = pod["spec"]
    for container in spec.get("initContainers", []) + spec["containers"] + spec.get("ephemeralContainers", []):
        if container["name"] == name:
            found: Object = container
            return found
    raise KeyError(name)


def _from_status(seen: Object) -> _Container | None:
    """The record of a container that was running, or had ended, according to the pod's status."""
    state = seen.get("state", {})
    running, ended = state.get("running"), state.get("terminated")
    if running is not None:
        started = parse_rfc3339(running["startedAt"])
        return _Container(started, None, 0, seen.get("restartCount", 0), seen.get("containerID", ""), seen["imageID"])
    if ended is not None:
        return _Container(
            parse_rfc3339(ended["startedAt"]),
            parse_rfc3339(ended["finishedAt"]),
            ended.get("exitCode", 0),
            seen.get("restartCount", 0),
            seen.get("containerID", ""),
            seen["imageID"],
        )
    return None
