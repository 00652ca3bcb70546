"""What a Job's policies say: pod failure policy, success policy, back-off between replacements. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#handling-pod-and-container-failures
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.controllers.jobs import indexes
from kloster.kinds import times
from kloster.workloads import pods

FIRST_DELAY = 10.0
LONGEST_DELAY = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed pod means. `fails_job` is the message with which the whole Job fails."""

    counts: bool = True
    action: str = ""
    fails_job: str = ""


def is_failed(pod: Object, job: Object) -> bool:
    """Failed, or as good as that: being deleted without having succeeded (unless replacements wait for Failed)."""
    if pods.phase(pod) == "Failed":
        return True
    if waits_for_failed(job):
        return False
    return pods.is_deleting(pod) and pods.phase(pod) != "Succeeded"


def waits_for_failed(job: Object) -> bool:
    """podReplacementPolicy Failed: a terminating pod is replaced only when it has ended."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def judge(job: Object, pod: Object) -> Verdict:
    """The first rule of the pod failure policy that matches."""
    policy = job["spec"].get("podFailurePolicy")
    for index, rule in enumerate((policy or {}).get("rules") or ()):
        matched = _match(rule, pod)
        if matched is None:
            continue
        action = rule["action"]
        if action == "Ignore":
            return Verdict(counts=False, action=action)
        if action != "FailJob":
            return Verdict(action=action)
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        text = f"{matched.format(pod=name)} matching {action} rule at index {index}"
        return Verdict(action=action, fails_job=text)
    return Verdict()


def _match(rule: Object, pod: Object) -> str | None:
    """How the rule matches, as a text about ``{pod}``; None if it does not."""
    status = pod.get("status") or {}
    exit_codes = rule.get("onExitCodes")
    if exit_codes is not None:
        for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
            ended = (container.get("state") or {}).get("terminated")
            if ended is None or exit_codes.get("containerName", container["name"]) != container["name"]:
                continue
            code = int(ended.get("exitCode") or 0)
            listed = code in (exit_codes.get("values") or ())
            if code != 0 and listed == (exit_codes["operator"] == "In"):
                return f"Container {container['name']} for pod {{pod}} failed with exit code {code}"
        return None
    for condition in status.get("conditions") or ():
        for pattern in rule.get("onPodConditions") or ():
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                return f"Pod {{pod}} has condition {condition['type']}"
    return None


def success(job: Object, succeeded: set[int]) -> str | None:
    """The message by which the success policy is met."""
    policy = job["spec"].get("successPolicy")
    if not policy or not succeeded:
        return None
    completions = int(job["spec"].get("completions") or 0)
    for index, rule in enumerate(policy.get("rules") or ()):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            wanted = indexes.parse(rule["succeededIndexes"], completions)
            hits = len(wanted & succeeded)
            if wanted and (hits == len(wanted) or (count is not None and hits >= count)):
                return f"Matched rules at index {index}"
        elif count is not None and len(succeeded) >= count:
            return f"Matched rules at index {index}"
    return None


@dataclass(frozen=True, slots=True)
class Failures:
    """How often pods have failed since the last success, and when last (seconds since the epoch)."""

    count: int = 0
    last: float = 0.0

    def delay(self, now: float) -> float:
        """Seconds until a failed pod may be replaced: 10 s, doubling, at most 10 min after the failure."""
        if not self.count:
            return 0.0
        wait: float = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self.count - 1, 16))
        return max(0.0, wait - (now - self.last))


def count_failures(before: Failures, succeeded: Sequence[Object], failed: Sequence[Object]) -> Failures:
    """With what has newly ended: a success resets the count; only failures after the last success count."""
    if not succeeded and not failed:
        return before
    if not succeeded:
        return Failures(before.count + len(failed), max(finished_at(pod) for pod in failed))
    last_success = max(finished_at(pod) for pod in succeeded)
    later = [at for pod in failed if (at := finished_at(pod)) > last_success]
    return Failures(len(later), max(later, default=0.0))


def finished_at(pod: Object) -> float:
    """When the pod ended, as well as its status tells."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    ends = [times.parse(((status.get("state") or {}).get("terminated") or {}).get("finishedAt")) for status in statuses]
    known = [end for end in ends if end is not None]
    if known and len(known) == len(ends):
        return max(known)
    ready = pods.condition(pod, "Ready")
    if ready is not None and ready["status"] == "False":
        changed = times.parse(ready.get("lastTransitionTime"))
        if changed is not None:
            return changed
    metadata = pod["metadata"]
    deleted = times.parse(metadata.get("deletionTimestamp"))
    if deleted is not None:
        return deleted - float(metadata.get("deletionGracePeriodSeconds") or 0)
    return pods.created(pod)


def restarts_exceed_limit(job: Object, everything: Iterable[Object]) -> bool:
    """With restartPolicy OnFailure the restarts of running pods count against backoffLimit."""
    spec = job["spec"]
    if ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in everything:
        if pods.phase(pod) in ("Running", "Pending"):
            status = pod.get("status") or {}
            for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
                restarts += int(container.get("restartCount") or 0)
    limit = int(spec.get("backoffLimit", 6))
    return restarts > 0 if limit == 0 else restarts >= limit
