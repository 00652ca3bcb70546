"""What a Deployment says about itself: counts and the conditions Available, Progressing and ReplicaFailure. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.aio.clock import parse_rfc3339, rfc3339
from kloster.apimachinery import Object
from kloster.controllers.deployments import rollout
from kloster.workloads import statuses

TIMED_OUT = "ProgressDeadlineExceeded"
_COMPLETE = "NewReplicaSetAvailable"
_NO_DEADLINE = 2**31 - 1


def deadline(deployment: Object) -> int | None:
    """progressDeadlineSeconds; None if progress is not watched."""
    value = deployment["spec"].get("progressDeadlineSeconds")
    return None if value is None or value == _NO_DEADLINE else int(value)


def condition(kind: str, status: str, reason: str, message: str, now: float) -> Object:
    at = rfc3339(now)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": at,
        "lastTransitionTime": at,
        "reason": reason,
        "message": message,
    }


def set_condition(conditions: list[Object], new: Object) -> list[Object]:
    """Unchanged if status and reason are the same; the transition time stays while the status does."""
    current = statuses.find(conditions, new["type"])
    if current is not None and current["status"] == new["status"]:
        if current.get("reason") == new.get("reason"):
            return conditions
        new = {**new, "lastTransitionTime": current.get("lastTransitionTime")}
    return [*statuses.without(conditions, new["type"]), new]


def counts(deployment: Object, new: Object | None, everything: Sequence[Object], now: float) -> Object:
    """The status without progress: what there is, and whether enough of it is available."""
    available = rollout.counted(everything, "availableReplicas")
    enough = available >= rollout.replicas(deployment) - rollout.max_unavailable(deployment)
    availability = (
        condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
        if enough
        else condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        )
    )
    status = deployment.get("status") or {}
    found = statuses.compact(
        observedGeneration=deployment["metadata"].get("generation"),
        replicas=rollout.counted(everything, "replicas"),
        updatedReplicas=rollout.counted([new], "replicas"),
        readyReplicas=rollout.counted(everything, "readyReplicas"),
        availableReplicas=available,
        unavailableReplicas=max(0, rollout.total(everything) - available),
        conditions=set_condition(list(status.get("conditions") or ()), availability),
    )
    if status.get("collisionCount") is not None:
        found["collisionCount"] = status["collisionCount"]
    return found


def with_progress(
    deployment: Object, new: Object | None, everything: Sequence[Object], status: Object, now: float
) -> Object:
    """`status` with the conditions Progressing and ReplicaFailure brought up to date."""
    conditions = list(status["conditions"])
    current = statuses.find(list((deployment.get("status") or {}).get("conditions") or ()), "Progressing")
    if deadline(deployment) is None:
        conditions = statuses.without(conditions, "Progressing")
    elif not (_number(status, "replicas") == _number(status, "updatedReplicas") and _reason(current) == _COMPLETE):
        conditions = _progressing(deployment, new, status, current, conditions, now)
    failure = _failure([new, *everything])
    if failure is None:
        conditions = statuses.without(conditions, "ReplicaFailure")
    else:
        conditions = set_condition(conditions, failure)
    return {**status, "conditions": conditions}


def is_complete(deployment: Object, status: Object) -> bool:
    wanted = rollout.replicas(deployment)
    fields = ("updatedReplicas", "replicas", "availableReplicas")
    observed = _number(status, "observedGeneration") >= int(deployment["metadata"].get("generation") or 0)
    return observed and all(_number(status, field) == wanted for field in fields)


def _progressing(
    deployment: Object,
    new: Object | None,
    status: Object,
    current: Object | None,
    conditions: list[Object],
    now: float,
) -> list[Object]:
    subject = f'Deployment "{deployment["metadata"]["name"]}"'
    if new is not None:
        subject = f'ReplicaSet "{new["metadata"]["name"]}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        return set_condition(conditions, condition("Progressing", "True", _COMPLETE, message, now))
    if _has_progressed(deployment, status):
        # Set even if status and reason are the same: lastUpdateTime says when there was progress last.
        found = condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current is not None and current["status"] == "True":
            found["lastTransitionTime"] = current.get("lastTransitionTime")
        return [*statuses.without(conditions, "Progressing"), found]
    if _has_timed_out(deployment, statuses.find(conditions, "Progressing"), now):
        message = f"{subject} has timed out progressing."
        return set_condition(conditions, condition("Progressing", "False", TIMED_OUT, message, now))
    return conditions


def _has_progressed(deployment: Object, status: Object) -> bool:
    before = deployment.get("status") or {}

    def old(of: Object) -> int:
        return _number(of, "replicas") - _number(of, "updatedReplicas")

    more = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old(status) < old(before) or any(_number(status, field) > _number(before, field) for field in more)


def _has_timed_out(deployment: Object, current: Object | None, now: float) -> bool:
    limit = deadline(deployment)
    if limit is None or current is None or current.get("reason") == _COMPLETE:
        return False
    return current.get("reason") == TIMED_OUT or parse_rfc3339(current["lastUpdateTime"]) + limit < now


def next_check(deployment: Object, status: Object, now: float) -> float | None:
    """Seconds until the deadline is to be looked at."""
    limit = deadline(deployment)
    current = statuses.find(list(status.get("conditions") or ()), "Progressing")
    if limit is None or current is None or is_complete(deployment, status) or _reason(current) == TIMED_OUT:
        return None
    return max(0.0, parse_rfc3339(current["lastUpdateTime"]) + limit - now) + 1


def paused_condition(deployment: Object, now: float) -> Object | None:
    """The condition to set because the deployment has been paused or resumed since."""
    if deadline(deployment) is None:
        return None
    current = statuses.find(list((deployment.get("status") or {}).get("conditions") or ()), "Progressing")
    if _reason(current) == TIMED_OUT:
        return None
    paused, said = bool(deployment["spec"].get("paused")), _reason(current) == "DeploymentPaused"
    if paused and not said:
        return condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)
    if said and not paused:
        return condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    return None


def _failure(replica_sets: Sequence[Object | None]) -> Object | None:
    for item in replica_sets:
        found = statuses.find(list(((item or {}).get("status") or {}).get("conditions") or ()), "ReplicaFailure")
        if found is not None:
            return {
                "type": found["type"],
                "status": found["status"],
                "lastUpdateTime": found.get("lastTransitionTime"),
                "lastTransitionTime": found.get("lastTransitionTime"),
                "reason": found.get("reason", ""),
                "message": found.get("message", ""),
            }
    return None


def _reason(found: Object | None) -> str:
    return str((found or {}).get("reason") or "")


def _number(status: Object, field: str) -> int:
    return int(status.get(field) or 0)
