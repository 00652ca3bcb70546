"""The status of a job: what its controller may report, and from what to what it may change.

Most rules only apply when the fields that they relate have changed, so that what older versions stored can still be
updated. Source: k8s.io/kubernetes/pkg/apis/batch/validation, KEP-4368.
"""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, conditions, metadata, times
from kloster.kinds.batch import indexes

_TERMINAL = ("Failed", "Complete", "FailureTarget")


def _status(job: Object) -> Object:
    return job.get("status") or {}


def _is(job: Object, kind: str) -> bool:
    return conditions.is_true(_status(job).get("conditions"), kind)


def _finished(job: Object) -> bool:
    return _is(job, "Complete") or _is(job, "Failed")


def validate(new: Object, old: Object) -> list[FieldError]:
    return [
        *_numbers(new),
        *_uncounted(_status(new).get("uncountedTerminatedPods") or {}),
        *_ends(new, old),
        *_pods(new, old),
        *_index_lists(new, old),
        *_running_pods(new, old),
        *_success_criteria(new),
        *_transitions(new, old),
        *_success_transitions(new, old),
    ]


def validate_trusting(new: Object, old: Object) -> list[FieldError]:
    """Until 1.31: only Kubernetes' own controller was thought to report, so that most was not checked.

    Since jobs may be managed by others (JobManagedBy, beta and on in 1.32), `validate` is what holds.
    """
    return [
        *_numbers(new),
        *_uncounted(_status(new).get("uncountedTerminatedPods") or {}),
        *_success_criteria(new),
        *_success_transitions(new, old),
    ]


def _numbers(job: Object) -> list[FieldError]:
    return checks.nonnegative_fields("status", _status(job), "active", "succeeded", "failed", "ready", "terminating")


def _uncounted(pods: Object) -> Iterator[FieldError]:
    seen = set()
    for name in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(name) or ()):
            path = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                yield errors.invalid_value(path, uid, "must not be empty")
            elif uid in seen:
                yield errors.duplicate(path, uid)
            seen.add(uid)


def _changed(new: Object, old: Object, *names: str) -> bool:
    return any(not metadata.same(_status(new).get(name), _status(old).get(name)) for name in names)


def _switched(new: Object, old: Object, *kinds: str) -> bool:
    return any(_is(new, kind) != _is(old, kind) for kind in kinds)


def _ends(new: Object, old: Object) -> Iterator[FieldError]:
    """How conditions and times of an ended job fit together."""
    status = _status(new)
    complete, failed, target = _is(new, "Complete"), _is(new, "Failed"), _is(new, "FailureTarget")
    started, ended = status.get("startTime"), status.get("completionTime")
    path = "status.conditions"
    if complete and failed and _switched(new, old, "Complete", "Failed"):
        yield checks.omitted(path, "cannot set Complete=True and Failed=true conditions")
    if complete and target and _switched(new, old, "Complete", "FailureTarget"):
        yield checks.omitted(path, "cannot set Complete=True and FailureTarget=true conditions")
    if _switched(new, old, "Complete") or _changed(new, old, "completionTime"):
        if ended and not complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            yield errors.invalid_value("status.completionTime", ended, text)
        if complete and not ended:
            yield errors.required("status.completionTime", "completionTime is required for Complete jobs")
    if _changed(new, old, "startTime", "completionTime"):
        begin, end = times.parse(started), times.parse(ended)
        if begin is not None and end is not None and end < begin:
            text = "must be equal to or after `startTime`"
            yield errors.invalid_value("status.completionTime", ended, text)
    if failed and not target and (_switched(new, old, "Failed") or _changed(new, old, "failedIndexes")):
        yield checks.omitted(path, "cannot set Failed=True condition without the FailureTarget=true condition")
    if complete and not _is(new, "SuccessCriteriaMet") and _switched(new, old, "Complete", "SuccessCriteriaMet"):
        yield checks.omitted(path, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")


def _pods(new: Object, old: Object) -> Iterator[FieldError]:
    """An ended job has no pods left."""
    status, spec = _status(new), new.get("spec") or {}
    finished, turned = _finished(new), _finished(new) != _finished(old)
    active = status.get("active") or 0
    if finished and active > 0 and (turned or _changed(new, old, "active")):
        yield errors.invalid_value("status.active", active, "active>0 is invalid for finished job")
    never_ran = spec.get("suspend") is True and spec.get("completions") == 0
    if finished and not status.get("startTime") and (turned or _changed(new, old, "startTime")) and not never_ran:
        yield errors.required("status.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if finished and any(uncounted.values()) and (turned or _changed(new, old, "uncountedTerminatedPods")):
        shown = {"Succeeded": uncounted.get("succeeded"), "Failed": uncounted.get("failed")}
        yield errors.invalid_value("status.uncountedTerminatedPods", shown, "must be empty for finished job")


def _running_pods(new: Object, old: Object) -> Iterator[FieldError]:
    status, finished, turned = _status(new), _finished(new), _finished(new) != _finished(old)
    active, terminating = status.get("active") or 0, status.get("terminating") or 0
    if finished and terminating > 0 and (turned or _changed(new, old, "terminating")):
        yield errors.invalid_value("status.terminating", terminating, "terminating>0 is invalid for finished job")
    ready = status.get("ready") or 0
    if ready > active and _changed(new, old, "ready", "active"):
        yield errors.invalid_value("status.ready", ready, "cannot set more ready pods than active")


def _index_lists(new: Object, old: Object) -> Iterator[FieldError]:
    status, spec = _status(new), new.get("spec") or {}
    done, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    done_changed, failed_changed = _changed(new, old, "completedIndexes"), _changed(new, old, "failedIndexes")
    if done_changed and completions is not None:
        yield from _parsed("completedIndexes", done, completions)
    if failed_changed and completions is not None and per_index is not None and failed is not None:
        yield from _parsed("failedIndexes", failed, completions)
    if done_changed and done and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield errors.invalid_value("status.completedIndexes", done, text)
    if failed_changed and failed is not None and per_index is None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield errors.invalid_value("status.failedIndexes", failed, text)
    if (done_changed or failed_changed) and completions is not None and failed is not None:
        common = indexes.overlap(done, failed, completions)
        if common is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {common}"
            yield errors.invalid_value("status.failedIndexes", failed, text)


def _parsed(name: str, text: str, completions: int) -> Iterator[FieldError]:
    try:
        indexes.count(text, completions)
    except ValueError as error:
        yield errors.invalid_value(f"status.{name}", text, f"error parsing {name}: {error}")


def _success_criteria(job: Object) -> Iterator[FieldError]:
    path, met = "status.conditions", _is(job, "SuccessCriteriaMet")
    if met and _is(job, "Failed"):
        yield checks.omitted(path, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and _is(job, "FailureTarget"):
        yield checks.omitted(path, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if (job.get("spec") or {}).get("successPolicy") is not None and not met and _is(job, "Complete"):
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield checks.omitted(path, text)


def _transitions(new: Object, old: Object) -> Iterator[FieldError]:
    status, before, spec = _status(new), _status(old), new.get("spec") or {}
    path = "status.conditions"
    for kind in _TERMINAL:
        if _is(old, kind) and not _is(new, kind):
            yield checks.omitted(path, f"cannot disable the terminal {kind}=True condition")
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for name in ("failed",) if elastic else ("failed", "succeeded"):
        value = status.get(name) or 0
        if value < (before.get(name) or 0):
            yield errors.invalid_value(f"status.{name}", value, f"cannot decrease the {name} counter")
    ended = status.get("completionTime")
    if ended and before.get("completionTime") and ended != before["completionTime"]:
        yield errors.invalid_value("status.completionTime", ended, metadata.IMMUTABLE)
    resuming = _is(old, "Suspended") and conditions.is_false(status.get("conditions"), "Suspended")
    started = before.get("startTime")
    if started and started != status.get("startTime") and not resuming and not spec.get("suspend"):
        yield errors.required("status.startTime", "startTime cannot be removed for unsuspended job")


def _success_transitions(new: Object, old: Object) -> Iterator[FieldError]:
    path = "status.conditions"
    if _is(old, "SuccessCriteriaMet") and not _is(new, "SuccessCriteriaMet"):
        yield checks.omitted(path, "cannot disable the SuccessCriteriaMet=True condition")
    if _is(old, "Complete") and not _is(old, "SuccessCriteriaMet") and _is(new, "SuccessCriteriaMet"):
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield checks.omitted(path, text)
