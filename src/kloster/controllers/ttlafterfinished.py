"""ttl-after-finished-controller: deletes finished Jobs after spec.ttlSecondsAfterFinished.

https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import JOBS
from kloster.kinds import times
from kloster.runtime.api import Context, Controller, Key, Result, Watch


def expires_in(job: Object, now: float) -> float | None:
    """Seconds until the Job may go (negative: overdue); None if it never does or has not finished."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or "deletionTimestamp" in job["metadata"]:
        return None
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            finished = times.parse(condition.get("lastTransitionTime"))
            return None if finished is None else finished + float(ttl) - now
    return None


async def reconcile(context: Context, key: Key) -> Result | None:
    job = context.source.get(JOBS, *key)
    left = expires_in(job, context.clock.now()) if job is not None else None
    if job is None or left is None:
        return None
    if left > 0:
        return Result(left)
    fresh = await _fresh(context, key)
    left = expires_in(fresh, context.clock.now()) if fresh is not None else None
    if fresh is None or left is None or left > 0:
        return Result(left)
    metadata = fresh["metadata"]
    try:
        await context.client.delete(
            JOBS,
            key.namespace,
            key.name,
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            propagation_policy="Foreground",
        )
    except StatusError as error:
        if error.code != 404:
            raise
    return None


async def _fresh(context: Context, key: Key) -> Object | None:
    """The Job as the server has it: its TTL may just have been raised."""
    try:
        return await context.client.get(JOBS, key.namespace, key.name)
    except StatusError as error:
        if error.code == 404:
            return None
        raise


def _has_ttl(change: Change) -> bool:
    return change.new is not None and change.new["spec"].get("ttlSecondsAfterFinished") is not None


CONTROLLER = Controller("ttl-after-finished-controller", (Watch(JOBS, relevant=_has_ttl),), reconcile)
