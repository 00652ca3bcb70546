"""cronjob-controller: creates Jobs on a schedule.

A Job's name holds its scheduled minute, so one is never created twice. Only the most recent missed time is made up
for, and only within startingDeadlineSeconds.
https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import CRON_JOBS, JOBS
from kloster.controllers.cronjobs import schedule as schedules
from kloster.kinds import times
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import ownership, statuses
from kloster.workloads.podcontrol import namespace_is_terminating

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_LATE = 0.1  # seconds that the wake-up is put after the minute, against clocks that differ a little


def finished_as(job: Object) -> str:
    """``Complete``, ``Failed`` or nothing yet."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return ""


def surplus(jobs: Sequence[Object], cron_job: Object) -> list[Object]:
    """Finished Jobs beyond the history limits, oldest first."""
    spec = cron_job["spec"]
    found: list[Object] = []
    for kind, field, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        ended = [job for job in jobs if finished_as(job) == kind]
        ended.sort(key=lambda job: ((job.get("status") or {}).get("startTime") or "", job["metadata"]["name"]))
        found += ended[: max(0, len(ended) - int(spec.get(field, default)))]
    return found


class _Run:
    """One reconciliation."""

    def __init__(self, context: Context, cron_job: Object, jobs: list[Object]) -> None:
        self.context = context
        self.cron_job = cron_job
        self.jobs = jobs
        self.status: Object = dict(cron_job.get("status") or {})
        self.active: list[Object] = list(self.status.get("active") or ())

    async def run(self) -> Result | None:
        await self.clean_up()
        await self.update_active()
        try:
            return await self.start_due()
        finally:
            await self.write()

    async def clean_up(self) -> None:
        for job in surplus(self.jobs, self.cron_job):
            await self.delete(job)
            self.jobs.remove(job)

    async def update_active(self) -> None:
        """Compare status.active with the Jobs that there are."""
        listed = {reference["uid"] for reference in self.active}
        for job in self.jobs:
            uid, name, ended = job["metadata"]["uid"], job["metadata"]["name"], finished_as(job)
            if uid not in listed and not ended:
                fresh = await self.context.client.get(CRON_JOBS, *_key(self.cron_job))
                if any(reference["uid"] == uid for reference in (fresh.get("status") or {}).get("active") or ()):
                    self.active.append(_reference(job))  # our source had not seen our own last write
                    continue
                message = f"Saw a job that the controller did not create or forgot: {name}"
                self.event("Warning", "UnexpectedJob", message)
            elif uid in listed and ended:
                self.forget(uid)
                self.event("Normal", "SawCompletedJob", f"Saw completed job: {name}, condition: {ended}")
            if ended == "Complete":
                self.note_success(job)
        present = {job["metadata"]["uid"] for job in self.jobs}
        for reference in [reference for reference in self.active if reference["uid"] not in present]:
            try:
                fresh = await self.context.client.get(JOBS, reference["namespace"], reference["name"])
                gone = fresh["metadata"]["uid"] != reference["uid"]
            except StatusError as error:
                if error.code != 404:
                    raise
                gone = True
            if gone:
                self.event("Normal", "MissingJob", f"Active job went missing: {reference['name']}")
                self.forget(reference["uid"])

    def note_success(self, job: Object) -> None:
        completed = (job.get("status") or {}).get("completionTime")
        known = self.status.get("lastSuccessfulTime")
        if completed and (known is None or (times.parse(completed) or 0) > (times.parse(known) or 0)):
            self.status["lastSuccessfulTime"] = completed

    def forget(self, uid: str) -> None:
        self.active = [reference for reference in self.active if reference["uid"] != uid]

    async def start_due(self) -> Result | None:
        spec, metadata = self.cron_job["spec"], self.cron_job["metadata"]
        if "deletionTimestamp" in metadata or spec.get("suspend"):
            return None
        try:
            schedule = schedules.parse(spec["schedule"], spec.get("timeZone"))
        except schedules.BadTimeZone as error:
            self.event("Warning", "UnknownTimeZone", f'invalid timeZone: "{spec.get("timeZone")}": {error}')
            return None
        except schedules.BadSchedule as error:
            self.event("Warning", "UnparseableSchedule", f'unparseable schedule: "{spec["schedule"]}" : {error}')
            return None
        now = self.context.clock.now()
        due = self.due(schedule, now)
        if due is not None:
            await self.start(schedule, due, now)
        following = schedule.after(now)
        return None if following is None else Result(following - now + _LATE)

    def due(self, schedule: schedules.Schedule, now: float) -> float | None:
        metadata = self.cron_job["metadata"]
        last = self.status.get("lastScheduleTime")
        earliest = times.parse(last or metadata.get("creationTimestamp")) or 0.0
        deadline = self.cron_job["spec"].get("startingDeadlineSeconds")
        if deadline is not None:
            earliest = max(earliest, now - float(deadline))
        due = schedules.most_recent(schedule, earliest, now)
        if due.missed_many:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.event("Warning", "TooManyMissedTimes", message)
        return due.at

    async def start(self, schedule: schedules.Schedule, at: float, now: float) -> None:
        spec = self.cron_job["spec"]
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and at + float(deadline) < now:
            shown = datetime.fromtimestamp(at, schedule.zone).strftime("%a, %d %b %Y %H:%M:%S %z")
            self.event("Warning", "MissSchedule", f"Missed scheduled time to start a job: {shown}")
            return
        wanted = _job(self.cron_job, schedule, at)
        name = wanted["metadata"]["name"]
        if any(reference["name"] == name for reference in self.active):
            return
        if times.parse(self.status.get("lastScheduleTime")) == at:
            return
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and self.active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.event("Normal", "JobAlreadyActive", message)
            return
        if policy == "Replace":
            for job in [job for job in self.jobs if not finished_as(job)]:
                await self.delete(job)
        await self.create(wanted, at)

    async def create(self, wanted: Object, at: float) -> None:
        try:
            job = await self.context.client.create(JOBS, wanted)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                job = await self.context.client.get(JOBS, *_key(wanted))
                if not ownership.is_controlled_by(job, self.cron_job):
                    self.event("Warning", "FailedCreate", f"Error creating job: {error}")
                    return
                if finished_as(job):
                    self.status["lastScheduleTime"] = rfc3339(at)
                    return
            elif namespace_is_terminating(error):
                return
            else:
                self.event("Warning", "FailedCreate", f"Error creating job: {error}")
                raise
        else:
            self.event("Normal", "SuccessfulCreate", f"Created job {job['metadata']['name']}")
        self.active.append(_reference(job))
        self.status["lastScheduleTime"] = rfc3339(at)

    async def delete(self, job: Object) -> None:
        metadata = job["metadata"]
        try:
            await self.context.client.delete(JOBS, *_key(job), uid=metadata["uid"], propagation_policy="Background")
        except StatusError as error:
            if error.code != 404:
                self.event("Warning", "FailedDelete", f"Deleted job: {error}")
                raise
        self.forget(metadata["uid"])
        self.event("Normal", "SuccessfulDelete", f"Deleted job {metadata['name']}")

    async def write(self) -> None:
        status = {**self.status, "active": self.active}
        if not self.active:
            del status["active"]
        await statuses.write(self.context, CRON_JOBS, self.cron_job, status)

    def event(self, type: str, reason: str, message: str) -> None:
        self.context.recorder.event(self.cron_job, type, reason, message)


def _key(item: Object) -> Key:
    return Key(item["metadata"]["namespace"], item["metadata"]["name"])


def _reference(job: Object) -> Object:
    metadata = job["metadata"]
    return {
        "kind": "Job",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "batch/v1",
        "resourceVersion": metadata["resourceVersion"],
    }


def _job(cron_job: Object, schedule: schedules.Schedule, at: float) -> Object:
    template = cron_job["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    made: Object = {
        "name": f"{cron_job['metadata']['name']}-{int(at) // 60}",
        "namespace": cron_job["metadata"]["namespace"],
        "annotations": {**(metadata.get("annotations") or {}), SCHEDULED_AT: schedule.shown(at)},
        "ownerReferences": [ownership.controller_reference(cron_job)],
    }
    if metadata.get("labels"):
        made["labels"] = metadata["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": template.get("spec") or {}}


async def reconcile(context: Context, key: Key) -> Result | None:
    cron_job = context.source.get(CRON_JOBS, *key)
    if cron_job is None:
        return None
    jobs = [
        job
        for job in context.source.owned_by(JOBS, key.namespace, cron_job["metadata"]["uid"])
        if ownership.is_controlled_by(job, cron_job)
    ]
    return await _Run(context, cron_job, jobs).run()


CONTROLLER = Controller(
    "cronjob-controller",
    (Watch(CRON_JOBS), Watch(JOBS, keys=ownership.keys_of_owner("CronJob"))),
    reconcile,
)
