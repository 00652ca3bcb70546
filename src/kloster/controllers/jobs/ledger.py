"""Counting each ended pod of a Job exactly once, whatever is interrupted. Pure.

A pod carries the finalizer ``batch.kubernetes.io/job-tracking`` until it has been counted. Counting takes three
writes: note the pod's UID in status.uncountedTerminatedPods; remove its finalizer; move the UID from the list into
the counter. Whatever happens in between, the next reconciliation sees which of them are done.
https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kloster.apimachinery import Object
from kloster.controllers.jobs import indexes, policies
from kloster.workloads import pods

FINALIZER = "batch.kubernetes.io/job-tracking"
MOST_AT_ONCE = 500


def is_tracked(pod: Object) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def completions(job: Object) -> int | None:
    value = job["spec"].get("completions")
    return None if value is None else int(value)


@dataclass(slots=True)
class Tally:
    """What has ended: already counted, noted but not yet counted, and new."""

    job: Object
    everything: Sequence[Object]
    noted_succeeded: list[str] = field(default_factory=list)
    noted_failed: list[str] = field(default_factory=list)
    new_succeeded: list[Object] = field(default_factory=list)
    new_failed: list[Object] = field(default_factory=list)

    @property
    def succeeded(self) -> int:
        status = self.job.get("status") or {}
        return int(status.get("succeeded") or 0) + len(self.noted_succeeded) + len(self.new_succeeded)

    @property
    def failed(self) -> int:
        status = self.job.get("status") or {}
        counting = sum(policies.judge(self.job, pod).counts for pod in self.new_failed)
        return int(status.get("failed") or 0) + len(self.noted_failed) + counting

    def succeeded_indexes(self) -> set[int]:
        limit = completions(self.job) or 0
        found = indexes.parse((self.job.get("status") or {}).get("completedIndexes"), limit)
        for pod in self.everything:
            index = indexes.of(pod)
            if index is not None and index < limit and pods.phase(pod) == "Succeeded" and is_tracked(pod):
                found.add(index)
        return found

    def failed_indexes(self) -> set[int] | None:
        """Indexes that have used up backoffLimitPerIndex; None where that is not asked for."""
        limit = self.job["spec"].get("backoffLimitPerIndex")
        if limit is None:
            return None
        total = completions(self.job) or 0
        found = indexes.parse((self.job.get("status") or {}).get("failedIndexes"), total)
        for pod in self.everything:
            index = indexes.of(pod)
            if index is None or index >= total or not is_tracked(pod) or not policies.is_failed(pod, self.job):
                continue
            verdict = policies.judge(self.job, pod)
            if verdict.action == "FailIndex" or (verdict.counts and failure_count(pod) >= int(limit)):
                found.add(index)
        return found


def tally(job: Object, everything: Sequence[Object]) -> Tally:
    noted = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
    found = Tally(job, everything, list(noted.get("succeeded") or ()), list(noted.get("failed") or ()))
    limit = completions(job)
    for pod in everything:
        uid = pod["metadata"]["uid"]
        if not is_tracked(pod):
            continue
        if is_indexed(job):
            index = indexes.of(pod)
            if index is None or limit is None or index >= limit:
                continue
        if pods.phase(pod) == "Succeeded":
            if uid not in found.noted_succeeded:
                found.new_succeeded.append(pod)
        elif policies.is_failed(pod, job) and uid not in found.noted_failed:
            found.new_failed.append(pod)
    return found


FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"


def failure_count(pod: Object, annotation: str = FAILURE_COUNT) -> int:
    """How often the pod's index had failed before this pod."""
    text = (pod["metadata"].get("annotations") or {}).get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def awaiting_replacement(job: Object, found: Tally, done: set[int], active: Sequence[Object]) -> dict[int, Object]:
    """With backoffLimitPerIndex the last failed pod of an index is kept until it is replaced: it knows the count."""
    if job["spec"].get("backoffLimitPerIndex") is None:
        return {}
    busy = {indexes.of(pod) for pod in active}
    last: dict[int, Object] = {}
    for pod in found.everything:
        index = indexes.of(pod)
        if index is None or index in done or index in busy or index >= (completions(job) or 0):
            continue
        if not is_tracked(pod) or not policies.is_failed(pod, job):
            continue
        known = last.get(index)
        if known is None or _order(pod) > _order(known):
            last[index] = pod
    return last


def _order(pod: Object) -> tuple[int, float]:
    return failure_count(pod) + failure_count(pod, IGNORED_FAILURE_COUNT), policies.finished_at(pod)


@dataclass(frozen=True, slots=True)
class Entry:
    """The next writes: the status with new UIDs noted, and whose finalizer may then go."""

    status: Object
    release: list[Object]
    complete: bool


def enter(job: Object, found: Tally, status: Object, finished: Object | None, kept: dict[int, Object]) -> Entry:
    """Note ended pods. `finished` is the condition with which the Job ends, `kept` await their replacement."""
    succeeded, failed = list(found.noted_succeeded), list(found.noted_failed)
    release: list[Object] = []
    limit = completions(job)
    failing = finished is not None and finished["type"] != "SuccessCriteriaMet"
    kept_uids = {pod["metadata"]["uid"] for pod in kept.values()}
    complete = True
    for pod in found.everything:
        if not is_tracked(pod):
            continue
        uid, is_failed = pod["metadata"]["uid"], policies.is_failed(pod, job)
        ended = pods.phase(pod) == "Succeeded"
        free = "deletionTimestamp" in job["metadata"] or finished is not None or ended
        if not free and (not is_failed or uid in kept_uids):
            continue
        if len(release) >= MOST_AT_ONCE:
            complete = False
            break
        release.append(pod)
        index = indexes.of(pod)
        valid = not is_indexed(job) or (index is not None and limit is not None and index < limit)
        if ended and uid not in failed:
            if not is_indexed(job) and uid not in succeeded:
                succeeded.append(uid)
        elif (is_failed or failing) and valid and uid not in failed and policies.judge(job, pod).counts:
            failed.append(uid)
    noted = {name: uids for name, uids in (("succeeded", succeeded), ("failed", failed)) if uids}
    return Entry({**status, "uncountedTerminatedPods": noted}, release, complete)


def settle(status: Object, tracked: set[str]) -> Object:
    """Move noted UIDs whose pods are no longer tracked into the counters."""
    noted = status.get("uncountedTerminatedPods") or {}
    left: Object = {}
    changed = dict(status)
    for name in ("succeeded", "failed"):
        uids = list(noted.get(name) or ())
        waiting = [uid for uid in uids if uid in tracked]
        counted = int(status.get(name) or 0) + len(uids) - len(waiting)
        if counted:
            changed[name] = counted
        if waiting:
            left[name] = waiting
    changed["uncountedTerminatedPods"] = left
    return changed
