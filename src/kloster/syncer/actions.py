"""What the engine may do, as data: decided by pure functions, performed by `engine` with preconditions."""

from __future__ import annotations

from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.client.api import PatchType


@dataclass(frozen=True, slots=True)
class CreateHost:
    """Create the host object. If the host finds it invalid (422), do what `refused` says instead."""

    object: Object
    refused: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class PatchHost:
    """Change what we own of this very host object (`uid`). `refused` as with `CreateHost`."""

    name: str
    uid: str
    patch: Object
    type: PatchType
    subresource: str = ""
    refused: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteHost:
    """Delete this very host object. `grace` in seconds, None for the object's own."""

    name: str
    uid: str
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class PatchVirtual:
    """Change the virtual object as seen (`uid`).

    `passing`: what it tells will soon be overtaken; it is told only if it is still true after a moment.
    """

    patch: Object
    type: PatchType = "merge"
    subresource: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class BindVirtual:
    """Tell the tenant on which node its pod runs."""

    node: str


@dataclass(frozen=True, slots=True)
class DeleteVirtual:
    """Delete the virtual object as seen: its host object has gone. `grace` 0 removes it at once.

    `unless` names a host object; if the host itself (not a copy that may be old) still has it, nothing is deleted.
    """

    uid: str
    grace: int | None = None
    unless: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """An event about the virtual object, for the tenant to read."""

    type: str
    reason: str
    message: str


Action = CreateHost | PatchHost | DeleteHost | PatchVirtual | BindVirtual | DeleteVirtual | Report
