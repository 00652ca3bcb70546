"""What the agent knows of containers, what it may ask for, and the port that performs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from kloster.apimachinery import Object


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container as observed. Times are seconds since the epoch. `previous` is the run before this one.

    A waiting container with a `reason` is one whose start failed at `started_at` and is to be tried again.
    """

    name: str
    phase: Literal["waiting", "running", "terminated"]
    reason: str = ""
    message: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    restarts: int = 0
    id: str = ""
    image_id: str = ""
    started: bool = False
    ready: bool = False
    previous: ContainerState | None = None


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as observed on the node.

    accepted_at   when the node first saw it, seconds since the epoch
    ip            empty before there is a sandbox
    problem       (reason, message) why the sandbox could not be started at `tried_at`
    changes_in    seconds until this observation will change by itself, if that is known
    """

    accepted_at: float
    sandbox: Literal["absent", "starting", "ready", "stopped"] = "absent"
    ip: str = ""
    containers: Mapping[str, ContainerState] = field(default_factory=dict)
    problem: tuple[str, str] | None = None
    tried_at: float = 0.0
    stopping: bool = False
    changes_in: float | None = None


@dataclass(frozen=True, slots=True)
class StartSandbox:
    """Make the pod's sandbox: network, volumes."""


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Pull the image if need be and start the container (again: `attempt` > 0)."""

    name: str
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class StopPod:
    """Stop all containers, giving them `grace` seconds."""

    grace: float


@dataclass(frozen=True, slots=True)
class RemovePod:
    """Forget the pod and free what it held."""


Action = StartSandbox | StartContainer | StopPod | RemovePod


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A Kubernetes event about a pod that the executor wants to be recorded; `container` may be empty."""

    type: str
    reason: str
    message: str
    container: str = ""


class Executor(Protocol):
    """Performs actions and observes; one for a node."""

    def observe(self, pod: Object) -> PodState: ...

    async def perform(self, pod: Object, action: Action) -> None: ...

    def take_events(self, uid: str) -> list[NodeEvent]:
        """Events about a pod since the last call."""
        ...

    def forget(self, uid: str) -> None:
        """The pod is gone from the API: stop what is left of it and free what it held."""
        ...
