"""CronJobs: jobs on a schedule.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, selector
from kloster.kinds.batch import jobspec, schedule
from kloster.kinds.podspec import warnings
from kloster.kinds.strategy import Strategy

# A job's name is the cron job's with a time of 11 characters behind it.
_LONGEST_NAME = 63 - 11
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_zone_part = re.compile(r"[A-Za-z.\-_0-9+]{1,14}").fullmatch


def _default(cron: Object) -> None:
    spec = defaulting.struct(cron, "spec")
    defaulting.empty(spec, concurrencyPolicy="Allow")
    defaulting.absent(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    jobspec.default(defaulting.struct(defaulting.struct(spec, "jobTemplate"), "spec"))


def _validate(cron: Object) -> list[FieldError]:
    spec, name = cron.get("spec") or {}, checks.text(cron["metadata"].get("name"))
    text = checks.text(spec.get("schedule"))
    found = []
    if not text:
        found.append(errors.required("spec.schedule"))
    elif problem := schedule.problem(text):
        found.append(errors.invalid_value("spec.schedule", text, problem))
    if lifecycle.is_new(cron):
        found.extend(_zone_in_schedule(text))
    found.extend(checks.nonnegative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds")))
    if lifecycle.is_new(cron):
        found.extend(_zone("spec.timeZone", spec.get("timeZone")))
    policy = checks.text(spec.get("concurrencyPolicy"))
    found.extend(checks.supported("spec.concurrencyPolicy", policy, _CONCURRENCY))
    found.extend(_job("spec.jobTemplate.spec", (spec.get("jobTemplate") or {}).get("spec") or {}))
    limits = ("successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    found.extend(checks.nonnegative_fields("spec", spec, *limits))
    if lifecycle.is_new(cron) and len(name.encode()) > _LONGEST_NAME:
        found.append(errors.invalid_value("metadata.name", name, f"must be no more than {_LONGEST_NAME} characters"))
    return found


def _zone_in_schedule(text: str) -> list[FieldError]:
    if "TZ" not in text:
        return []
    problem = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
    return [errors.invalid_value("spec.schedule", text, problem)]


def _zone(path: str, zone: str | None) -> list[FieldError]:
    if zone is None:
        return []
    if not zone:
        return [errors.invalid_value(path, zone, "timeZone must be nil or non-empty string")]
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _zone_part(part):
            return [errors.invalid_value(path, zone, f"unknown time zone {zone}")]
    if zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [errors.invalid_value(path, zone, text)]
    if not schedule.is_zone(zone):
        return [errors.invalid_value(path, zone, f"unknown time zone {zone}")]
    return []


def _job(path: str, spec: Object) -> list[FieldError]:
    found = jobspec.validate(path, spec)
    if (chosen := spec.get("selector")) is not None:
        found.append(errors.invalid_value(f"{path}.selector", chosen, "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        found.append(errors.not_supported(f"{path}.manualSelector", True, ["nil", "false"]))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    """What was stored with a time zone in the schedule may keep it."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    text, zone = checks.text(spec.get("schedule")), spec.get("timeZone")
    found = []
    if "TZ" not in checks.text(before.get("schedule")):
        found.extend(_zone_in_schedule(text))
    elif "TZ" in text and zone is not None:
        problem = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        found.append(errors.invalid_value("spec.schedule", text, problem))
    return found if zone == before.get("timeZone") else [*found, *_zone("spec.timeZone", zone)]


def _cells(cron: Object, now: float) -> list[Any]:
    spec, status = cron.get("spec") or {}, cron.get("status") or {}
    zone, suspend = spec.get("timeZone"), spec.get("suspend")
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        cron["metadata"]["name"],
        checks.text(spec.get("schedule")),
        "<none>" if zone is None else zone,
        "<unset>" if suspend is None else str(bool(suspend)),
        len(status.get("active") or ()),
        "<none>" if last is None else table.since(last, now),
        table.age(cron, now),
        *table.template_containers(job),
        selector.text(job.get("selector")),
    ]


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    spec = new["spec"]
    if old is None:
        yield from warnings.of_name(new)
    if lifecycle.is_changed(new, old):
        yield from jobspec.warn(spec["jobTemplate"].get("spec") or {}, "spec.jobTemplate.spec", minor)
    if old is not None and "TZ" in spec.get("schedule", ""):
        page = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"
        yield f"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see {page} for more details"


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    generation=True,
    status=True,
    cells=_cells,
    warn=_warn,
)
