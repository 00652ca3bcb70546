"""Whether and how a Job ends, and how many pods it wants meanwhile. Pure.

A Job ends in two steps: first a condition says why (FailureTarget or SuccessCriteriaMet), then, when every pod has
ended and is counted, the final one (Failed or Complete).
https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.aio.clock import parse_rfc3339, rfc3339
from kloster.apimachinery import Object
from kloster.controllers.jobs import indexes, ledger, policies
from kloster.workloads import pods, statuses


def condition(kind: str, reason: str, message: str, now: float, status: str = "True") -> Object:
    at = rfc3339(now)
    return {
        "type": kind,
        "status": status,
        "lastProbeTime": at,
        "lastTransitionTime": at,
        "reason": reason,
        "message": message,
    }


def is_suspended(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


def _true(conditions: Sequence[Object], kind: str) -> Object | None:
    return next((found for found in conditions if found["type"] == kind and found["status"] == "True"), None)


def is_finished(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return _true(conditions, "Complete") is not None or _true(conditions, "Failed") is not None


def deadline_in(job: Object, now: float) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None if there is no deadline or the clock does not run."""
    limit = job["spec"].get("activeDeadlineSeconds")
    started = (job.get("status") or {}).get("startTime")
    if limit is None or started is None or is_suspended(job):
        return None
    return float(parse_rfc3339(started) + float(limit) - now)


def ending(
    job: Object, found: ledger.Tally, done: set[int], failed_indexes: set[int] | None, now: float
) -> Object | None:
    """The condition by which the Job is to end (SuccessCriteriaMet or FailureTarget), None while it goes on."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    for kind in ("SuccessCriteriaMet", "FailureTarget"):
        known = _true(conditions, kind)
        if known is not None:
            return known
    for pod in found.everything:
        if job["spec"].get("podFailurePolicy") and policies.is_failed(pod, job):
            verdict = policies.judge(job, pod)
            if verdict.fails_job:
                return condition("FailureTarget", "PodFailurePolicy", verdict.fails_job, now)
    failure = _failure(job, found, done, failed_indexes, now)
    if failure is not None:
        return condition("FailureTarget", *failure, now)
    message = policies.success(job, done)
    return condition("SuccessCriteriaMet", "SuccessPolicy", message, now) if message is not None else None


def _failure(
    job: Object, found: ledger.Tally, done: set[int], failed_indexes: set[int] | None, now: float
) -> tuple[str, str] | None:
    spec = job["spec"]
    if found.failed > int(spec.get("backoffLimit", 6)) or policies.restarts_exceed_limit(job, found.everything):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_in(job, now)
    if left is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if failed_indexes:
        most = spec.get("maxFailedIndexes")
        if most is not None and len(failed_indexes) > int(most):
            return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
        if len(failed_indexes | done) >= (ledger.completions(job) or 0):
            return "FailedIndexes", "Job has failed indexes"
    return None


def is_complete(job: Object, succeeded: int, active: int) -> bool:
    wanted = ledger.completions(job)
    return active == 0 and (succeeded > 0 if wanted is None else succeeded >= wanted)


def wanted_active(job: Object, succeeded: int, active: int) -> int:
    """How many pods are to run now."""
    if is_suspended(job):
        return 0
    parallelism, wanted = int(job["spec"].get("parallelism", 1)), ledger.completions(job)
    if wanted is None:
        return active if succeeded > 0 else parallelism
    return max(0, min(parallelism, wanted - succeeded))


def to_remove(job: Object, active: Sequence[Object], at_least: int, now: float) -> list[Object]:
    """Active pods that are too many: doubles of an index, then those that are missed least."""
    remove: list[Object] = []
    left = list(active)
    if ledger.is_indexed(job):
        ordered = pods.first_to_go(active, (), now)
        remove, left = indexes.duplicates(ordered, ledger.completions(job) or 0)
    if len(remove) < at_least:
        remove += pods.first_to_go(left, (), now)[: at_least - len(remove)]
    return remove


def suspended_condition(job: Object, conditions: list[Object], now: float) -> tuple[list[Object], str]:
    """(conditions with Suspended brought up to date, "Suspended" or "Resumed" if that is news)."""
    current = statuses.find(conditions, "Suspended")
    if is_suspended(job):
        if current is not None and current["status"] == "True":
            return conditions, ""
        new = condition("Suspended", "JobSuspended", "Job suspended", now)
        news = "Suspended"
    else:
        if current is None or current["status"] == "False":
            return conditions, ""
        new = condition("Suspended", "JobResumed", "Job resumed", now, "False")
        news = "Resumed"
    if current is None:
        return [*conditions, new], news
    return [new if known["type"] == "Suspended" else known for known in conditions], news
