"""Jobs: pods that run to completion.

A job selects its pods by a label with its own UID, which is made here. Source:
https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import conditions, defaulting, lifecycle, selector, times
from kloster.kinds.batch import jobspec, jobstatus
from kloster.kinds.podspec import warnings
from kloster.kinds.strategy import Strategy

_UID_LABELS = ("controller-uid", jobspec.UID_LABEL)
_NAME_LABELS = ("job-name", jobspec.NAME_LABEL)


def _default(job: Object) -> None:
    spec = defaulting.struct(job, "spec")
    jobspec.default(spec)
    jobspec.default_alone(spec)
    labels = (defaulting.struct(spec, "template").get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


def _prepare_create(job: Object) -> None:
    lifecycle.clear_status(job)
    spec = defaulting.struct(job, "spec")
    if not spec.get("manualSelector"):
        _generate_selector(spec, job["metadata"])


def _prepare_create_unmanaged(job: Object) -> None:
    """managedBy is gated until 1.32 (JobManagedBy)."""
    _prepare_create(job)
    job["spec"].pop("managedBy", None)


def _generate_selector(spec: Object, meta: Object) -> None:
    labels = defaulting.struct(defaulting.struct(spec["template"], "metadata"), "labels")
    # A job without labels of its own has those of its template, the generated ones too.
    borrowed = meta.get("labels") in (None, {}, labels)
    for names, value in ((_NAME_LABELS, meta.get("name", "")), (_UID_LABELS, meta.get("uid", ""))):
        for name in names:
            labels.setdefault(name, value)
    chosen = defaulting.struct(defaulting.struct(spec, "selector"), "matchLabels")
    chosen.setdefault(jobspec.UID_LABEL, meta.get("uid", ""))
    if borrowed:
        meta["labels"] = dict(labels)


def _cells(job: Object, now: float) -> list[Any]:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    return [
        job["metadata"]["name"],
        _state(job),
        _completions(spec, status),
        _duration(status, now),
        table.age(job, now),
        *table.template_containers(spec),
        selector.text(spec.get("selector")),
    ]


def _state(job: Object) -> str:
    reported = (job.get("status") or {}).get("conditions")
    if conditions.is_true(reported, "Complete"):
        return "Complete"
    if conditions.is_true(reported, "Failed"):
        return "Failed"
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    states = ("Suspended", "FailureTarget", "SuccessCriteriaMet")
    return next((state for state in states if conditions.is_true(reported, state)), "Running")


def _completions(spec: Object, status: Object) -> str:
    succeeded, wanted, parallel = status.get("succeeded") or 0, spec.get("completions"), spec.get("parallelism") or 0
    if wanted is not None:
        return f"{succeeded}/{wanted}"
    return f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"


def _duration(status: Object, now: float) -> str:
    started, ended = times.parse(status.get("startTime")), times.parse(status.get("completionTime"))
    if started is None:
        return ""
    return table.duration((now if ended is None else ended) - started)


def _succeeded(job: Object) -> str:
    return str((job.get("status") or {}).get("succeeded") or 0)


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    if old is None:
        yield from warnings.of_name(new)
    if lifecycle.is_changed(new, old):
        yield from jobspec.warn(new["spec"], "spec", minor)


# A client that says nothing orphans the pods: upstream keeps batch/v1 as it was before garbage collection.
STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create_unmanaged,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    validate=jobspec.validate_job,
    validate_update=jobspec.validate_update,
    validate_status=jobstatus.validate_trusting,
    generation=True,
    status=True,
    orphan_by_default=True,
    cells=_cells,
    fields={"status.successful": _succeeded},
    warn=_warn,
)
CHANGED = {"1.32": dataclasses.replace(STRATEGY, prepare_create=_prepare_create, validate_status=jobstatus.validate)}
