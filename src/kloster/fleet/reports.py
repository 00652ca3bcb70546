"""What a VirtualCluster's status says about a cluster that is served: facts, and conditions in words."""

from __future__ import annotations

from typing import Any, NamedTuple

from kloster.aio.clock import rfc3339
from kloster.fleet.record import Record
from kloster.fleet.spec import RUN, SUSPENDED
from kloster.fleet.wish import Wish


class Condition(NamedTuple):
    """Of a VirtualCluster."""

    type: str
    true: bool
    reason: str
    message: str


def facts(wish: Wish, made: Record) -> dict[str, Any]:
    """Fields of the status that follow from what was asked for and what there is."""
    found: dict[str, Any] = {"workloads": SUSPENDED if wish.resting else RUN}
    if wish.spec.context:
        found["context"] = wish.spec.context
    if made.reset:
        found["reset"] = made.reset
    if made.origin is not None:
        found["from"] = {
            "namespace": made.origin.namespace,
            "name": made.origin.name,
            "uid": made.origin.uid,
            "resourceVersion": str(made.origin.revision),
            "time": rfc3339(made.origin.time),
        }
    return found


def conditions(wish: Wish, made: Record) -> list[Condition]:
    """Accepted, Ready, and for a fork what is not as in its source."""
    found = [_accepted(wish, made)]
    if made.origin is not None:
        text = (
            f"branched off {made.origin.namespace}/{made.origin.name} at resourceVersion {made.origin.revision}; "
            f"PersistentVolumeClaims start empty: volumes are not copied"
        )
        if wish.resting:
            text += "; workloads are suspended: set spec.workloads to run to start them"
        found.append(Condition("Forked", True, "ClaimsStartEmpty", text))
    found.append(Condition("Ready", True, "Serving", "the API is being served"))
    return found


def _accepted(wish: Wish, made: Record) -> Condition:
    complaints = _complaints(wish, made)
    if complaints:
        return Condition("Accepted", False, complaints[0][0], "\n".join(text for _, text in complaints))
    if wish.spec.warnings:
        return Condition("Accepted", True, "AcceptedWithWarnings", "\n".join(wish.spec.warnings))
    return Condition("Accepted", True, "Accepted", "the spec is honoured as it stands")


def _complaints(wish: Wish, made: Record) -> list[tuple[str, str]]:
    """(reason, text) of what is asked of a cluster that cannot be changed any more."""
    spec, found = wish.spec, []
    if spec.minor and made.minor != spec.minor:
        text = f"the cluster is {made.minor}; changing the version of a cluster is not supported"
        found.append(("VersionFixed", text))
    asked = spec.origin and (spec.origin.namespace or wish.namespace, spec.origin.name)
    is_of = made.origin and (made.origin.namespace, made.origin.name)
    if asked != is_of:
        what = f"a fork of {'/'.join(is_of)}" if is_of else "no fork"
        found.append(("FromFixed", f"the cluster is {what}; what a cluster is a fork of cannot be changed"))
    if wish.reset and made.origin is None:
        found.append(("NoFork", "the cluster is no fork, so there is no state at its fork to go back to"))
    if spec.workloads == SUSPENDED and not wish.resting:
        text = "the cluster's workloads run; suspending what runs is not supported: delete it and fork again"
        found.append(("WorkloadsRun", text))
    return found
