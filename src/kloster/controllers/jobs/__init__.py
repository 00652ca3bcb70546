"""job-controller: runs pods until enough of them have succeeded.

One reconciliation: count what has ended (`ledger`), decide whether the Job ends (`outcome`, `policies`), create or
delete pods, write the status, release counted pods.
https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import JOBS, PODS
from kloster.controllers.jobs import indexes, ledger, outcome, policies
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import ownership, podcontrol, pods

_MANAGED_BY = "kubernetes.io/job-controller"
_ORPHAN = "pod:"  # prefix of keys for pods that carry the finalizer without having a Job
_INDEX_VARIABLE = {
    "name": "JOB_COMPLETION_INDEX",
    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{indexes.ANNOTATION}']"}},
}


class _Run:
    """One reconciliation of an unfinished Job."""

    def __init__(self, context: Context, job: Object, everything: list[Object]) -> None:
        self.context = context
        self.job = job
        self.status: Object = dict(job.get("status") or {})
        self.written: Object = job.get("status") or {}
        self.everything = everything
        self.active = [pod for pod in everything if pods.is_active(pod)]
        self.found = ledger.tally(job, everything)
        self.done = self.found.succeeded_indexes() if ledger.is_indexed(job) else set()
        self.failed_indexes = self.found.failed_indexes() if ledger.is_indexed(job) else None
        self.kept = ledger.awaiting_replacement(
            job, self.found, self.done | (self.failed_indexes or set()), self.active
        )
        self.now = context.clock.now()
        before = context.memory.get(_memory_key(job), policies.Failures())
        self.failures = policies.count_failures(before, self.found.new_succeeded, self.found.new_failed)
        self.after: float | None = None
        self.error: Exception | None = None
        self.active_count = len(self.active)
        self.terminating = sum(pods.is_deleting(pod) and not pods.is_terminal(pod) for pod in everything)
        self.ready = sum(pods.is_ready(pod) for pod in self.active)

    @property
    def succeeded(self) -> int:
        return len(self.done) if ledger.is_indexed(self.job) else self.found.succeeded

    async def run(self) -> Result | None:
        if "startTime" not in self.status and not outcome.is_suspended(self.job):
            self.status["startTime"] = rfc3339(self.now)
            self.job = {**self.job, "status": self.status}
            self.found.job = self.job
        finished = outcome.ending(self.job, self.found, self.done, self.failed_indexes, self.now)
        if finished is not None:
            await self.delete(self.active, release=False)
            if self.error is not None:
                finished = None
        else:
            if not pods.is_deleting(self.job):
                await self.manage()
                self.note_suspension()
            if outcome.is_complete(self.job, self.succeeded, self.active_count):
                message = "Reached expected number of succeeded pods"
                finished = outcome.condition("SuccessCriteriaMet", "CompletionsReached", message, self.now)
            self.after = _sooner(self.after, outcome.deadline_in(self.job, self.now))
        await self.track(finished)
        if self.error is not None:
            raise self.error
        return Result(self.after)

    async def manage(self) -> None:
        """Bring the number of active pods to what is wanted: delete if too many, else create."""
        active = len(self.active)
        wanted = outcome.wanted_active(self.job, self.succeeded, active)
        remove = outcome.to_remove(self.job, self.active, max(0, active - wanted), self.now)[: podcontrol.BURST]
        if remove:
            await self.delete(remove, release=True)
            return
        waiting = self.terminating if policies.waits_for_failed(self.job) else 0
        missing = min(wanted - waiting - active, podcontrol.BURST)
        if missing <= 0:
            return
        if self.job["spec"].get("backoffLimitPerIndex") is None:
            delay = self.failures.delay(self.now)
            if delay > 0:
                self.after = _sooner(self.after, delay)
                return
        await self.create(missing)

    async def create(self, count: int) -> None:
        made = [self.pod(None)] * count
        if ledger.is_indexed(self.job):
            made = [self.pod(index) for index in self.indexes_to_start(count)]
        try:
            await podcontrol.create_many(self.context, self.job, made)
            self.active_count += len(made)
        except StatusError as error:
            self.error = error
            source = self.context.source.owned_by(PODS, self.job["metadata"]["namespace"], self.job["metadata"]["uid"])
            self.active_count = sum(pods.is_active(pod) for pod in source)

    def indexes_to_start(self, count: int) -> list[int]:
        taken = {index for pod in self.active if (index := indexes.of(pod)) is not None}
        taken |= self.done | (self.failed_indexes or set())
        if policies.waits_for_failed(self.job):
            taken |= {
                index
                for pod in self.everything
                if pods.is_deleting(pod) and not pods.is_terminal(pod) and (index := indexes.of(pod)) is not None
            }
        pending = indexes.first_pending(count, ledger.completions(self.job) or 0, taken)
        start: list[int] = []
        for index in pending:
            last = self.kept.get(index)
            failures = policies.Failures()
            if last is not None:
                failures = policies.Failures(ledger.failure_count(last) + 1, policies.finished_at(last))
            delay = failures.delay(self.now)
            if delay > 0:
                self.after = _sooner(self.after, delay)
            else:
                start.append(index)
        return start

    def pod(self, index: int | None) -> Object:
        template = self.job["spec"]["template"]
        made = podcontrol.pod_from_template(template, self.job)
        metadata = made["metadata"]
        metadata["finalizers"] = [*dict.fromkeys([*(metadata.get("finalizers") or ()), ledger.FINALIZER])]
        if index is None:
            return made
        name = self.job["metadata"]["name"]
        suffix = f"-{index}-"
        metadata["generateName"] = name[: 58 - len(suffix)] + suffix
        mark = {indexes.ANNOTATION: str(index)}
        metadata["labels"] = {**(metadata.get("labels") or {}), **mark}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **mark, **self.failure_annotations(index)}
        made["spec"] = {**_with_index_variable(made["spec"]), "hostname": f"{name}-{index}"}
        return made

    def failure_annotations(self, index: int) -> dict[str, str]:
        if self.job["spec"].get("backoffLimitPerIndex") is None:
            return {}
        last = self.kept.get(index)
        if last is None:
            return {ledger.FAILURE_COUNT: "0"}
        counts = policies.judge(self.job, last).counts
        failures = ledger.failure_count(last) + counts
        ignored = ledger.failure_count(last, ledger.IGNORED_FAILURE_COUNT) + (not counts)
        found = {ledger.FAILURE_COUNT: str(failures)}
        if ignored:
            found[ledger.IGNORED_FAILURE_COUNT] = str(ignored)
        return found

    async def delete(self, some: Sequence[Object], *, release: bool) -> None:
        """`release`: they are not counted, so nothing has to wait for them."""
        try:
            if release:
                await podcontrol.all_of(_release(self.context, pod) for pod in some)
            await podcontrol.delete_many(self.context, self.job, some)
            self.active_count -= len(some)
            self.terminating += len(some)
            self.ready -= sum(pods.is_ready(pod) for pod in some)
        except StatusError as error:
            self.error = error

    def note_suspension(self) -> None:
        conditions, news = outcome.suspended_condition(self.job, list(self.status.get("conditions") or ()), self.now)
        if not news:
            return
        self.status["conditions"] = conditions
        self.context.recorder.event(self.job, "Normal", news, f"Job {news.lower()}")
        if news == "Resumed":
            self.status["startTime"] = rfc3339(self.now)

    async def track(self, finished: Object | None) -> None:
        """Note ended pods, release them, count them; then end the Job if it is time."""
        entry = ledger.enter(self.job, self.found, self.counted_status(), finished, self.kept)
        status = entry.status
        if finished is not None and finished not in (status.get("conditions") or ()):
            status["conditions"] = [*(status.get("conditions") or ()), finished]
        tracked = {pod["metadata"]["uid"] for pod in self.everything if ledger.is_tracked(pod)}
        status = ledger.settle(status, tracked)
        await self.write(status)
        self.context.memory[_memory_key(self.job)] = self.failures  # they are noted now and will not be new again
        if entry.release:
            await podcontrol.all_of(_release(self.context, pod) for pod in entry.release)
        status = ledger.settle(status, tracked - {pod["metadata"]["uid"] for pod in entry.release})
        final = self.final_condition(status, finished) if entry.complete else None
        if final is not None:
            status["conditions"] = [*(status.get("conditions") or ()), final]
            if final["type"] == "Complete":
                status["completionTime"] = final["lastTransitionTime"]
        await self.write(status)
        if final is not None:
            self.announce(final, status)
        elif not entry.complete:
            self.after = 0.0

    def counted_status(self) -> Object:
        status = dict(self.status)
        status["active"] = self.active_count
        status["ready"] = max(0, self.ready)
        status["terminating"] = self.terminating
        if not status["active"]:
            del status["active"]
        if ledger.is_indexed(self.job):
            status["completedIndexes"] = indexes.text(self.done)
            status["succeeded"] = len(self.done)
            for name in ("completedIndexes", "succeeded"):
                if not status[name]:
                    del status[name]
            if self.failed_indexes is not None:
                status["failedIndexes"] = indexes.text(self.failed_indexes)
        return status

    def final_condition(self, status: Object, finished: Object | None) -> Object | None:
        if finished is None or status["uncountedTerminatedPods"] or self.terminating:
            return None
        kind = "Complete" if finished["type"] == "SuccessCriteriaMet" else "Failed"
        return outcome.condition(kind, finished["reason"], finished["message"], self.now)

    def announce(self, final: Object, status: Object) -> None:
        self.context.memory.pop(_memory_key(self.job), None)
        event = self.context.recorder.event
        if final["type"] != "Complete":
            event(self.job, "Warning", final["reason"], final["message"])
            return
        wanted = ledger.completions(self.job)
        if wanted is not None and int(status.get("succeeded") or 0) > wanted:
            text = "Too many succeeded pods running after completion count reached"
            event(self.job, "Warning", "TooManySucceededPods", text)
        event(self.job, "Normal", "Completed", "Job completed")

    async def write(self, status: Object) -> None:
        if status != self.written:
            self.job = await self.context.client.update_status(JOBS, {**self.job, "status": status})
            self.written = status


def _memory_key(job: Object) -> str:
    metadata = job["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}/{metadata['uid']}"


def _with_index_variable(spec: Object) -> Object:
    changed = dict(spec)
    for field in ("initContainers", "containers"):
        if changed.get(field):
            changed[field] = [_add_variable(container) for container in changed[field]]
    return changed


def _add_variable(container: Object) -> Object:
    known = container.get("env") or []
    if any(variable["name"] == _INDEX_VARIABLE["name"] for variable in known):
        return container
    return {**container, "env": [*known, _INDEX_VARIABLE]}


def _sooner(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return min(known, default=None)


async def _release(context: Context, pod: Object) -> None:
    """Take the tracking finalizer off a pod."""
    if not ledger.is_tracked(pod):
        return
    metadata = pod["metadata"]
    patch = {"metadata": {"uid": metadata["uid"], "$deleteFromPrimitiveList/finalizers": [ledger.FINALIZER]}}
    try:
        await context.client.patch(PODS, metadata["namespace"], metadata["name"], patch, type="strategic")
    except StatusError as error:
        if error.code not in (404, 422):
            raise


async def reconcile(context: Context, key: Key) -> Result | None:
    if key.name.startswith(_ORPHAN):
        pod = context.source.get(PODS, key.namespace, key.name.removeprefix(_ORPHAN))
        if pod is not None and ownership.controller_of(pod) is None:
            await _release(context, pod)
        return None
    job = context.source.get(JOBS, *key)
    if job is None:
        for known in [known for known in context.memory if known.startswith(f"{key.namespace}/{key.name}/")]:
            del context.memory[known]
        await _release_orphans(context, key, "")
        return None
    if job["spec"].get("managedBy", _MANAGED_BY) != _MANAGED_BY:
        return None
    if outcome.is_finished(job):
        context.memory.pop(_memory_key(job), None)
        for pod in context.source.owned_by(PODS, key.namespace, job["metadata"]["uid"]):
            await _release(context, pod)
        return None
    everything = await ownership.claim(context, PODS, job, JOBS, job["spec"]["selector"])
    if "startTime" not in (job.get("status") or {}):
        await _release_orphans(context, key, job["metadata"]["uid"])
    return await _Run(context, job, everything).run()


async def _release_orphans(context: Context, key: Key, uid: str) -> None:
    """Pods of an earlier Job of this name must not be held by the finalizer."""
    for pod in context.source.list(PODS, key.namespace):
        reference = ownership.controller_of(pod) if ledger.is_tracked(pod) else None
        if reference is None or reference["kind"] != "Job" or reference["name"] != key.name:
            continue
        if reference["uid"] != uid:
            await _release(context, pod)


_of_owner = ownership.keys_of_claimants(JOBS)


def _of_pod(context: Context, change: Change) -> Iterable[Key]:
    pod = change.new
    if pod is not None and ledger.is_tracked(pod) and ownership.controller_of(pod) is None:
        metadata = pod["metadata"]
        return [*_of_owner(context, change), Key(metadata["namespace"], _ORPHAN + metadata["name"])]
    return _of_owner(context, change)


CONTROLLER = Controller("job-controller", (Watch(JOBS), Watch(PODS, lookup=_of_pod)), reconcile)
