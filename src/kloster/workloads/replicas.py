"""Keeping a number of equal pods: what ReplicaSets and ReplicationControllers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.resources import PODS
from kloster.runtime.api import Context, Key, Result
from kloster.workloads import ownership, podcontrol, pods, statuses

FAILURE = "ReplicaFailure"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods to create, and which to delete."""

    create: int
    delete: Sequence[Object]


def plan(wanted: int, active: Sequence[Object], related: Sequence[Object], now: float) -> Plan:
    difference = len(active) - wanted
    if difference <= 0:
        return Plan(min(-difference, podcontrol.BURST), ())
    count = min(difference, podcontrol.BURST)
    return Plan(0, active if count == len(active) else pods.first_to_go(active, related, now)[:count])


def status_of(owner: Object, active: Sequence[Object], failure: StatusError | None, now: float) -> Object:
    """The status that follows from the pods that there are."""
    spec = owner["spec"]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    minimum = int(spec.get("minReadySeconds") or 0)
    conditions = list((owner.get("status") or {}).get("conditions") or ())
    if failure is None:
        conditions = statuses.without(conditions, FAILURE)
    elif statuses.find(conditions, FAILURE) is None:
        conditions.append(
            {
                "type": FAILURE,
                "status": "True",
                "lastTransitionTime": rfc3339(now),
                "reason": "FailedCreate" if len(active) < int(spec.get("replicas", 1)) else "FailedDelete",
                "message": str(failure),
            }
        )
    counted = statuses.compact(
        fullyLabeledReplicas=sum(labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in active),
        readyReplicas=sum(pods.is_ready(pod) for pod in active),
        availableReplicas=sum(pods.is_available(pod, minimum, now) for pod in active),
        observedGeneration=owner["metadata"].get("generation"),
        conditions=conditions,
    )
    return {"replicas": len(active), **counted}


async def reconcile(context: Context, key: Key, resource: Resource) -> Result | None:
    """Bring the pods of one owner of `resource` to the number that is wanted, and report."""
    owner = context.source.get(resource, *key)
    if owner is None:
        return None
    claimed = await ownership.claim(context, PODS, owner, resource, ownership.selector_of(owner))
    active = [pod for pod in claimed if pods.is_active(pod)]
    failure: StatusError | None = None
    if not pods.is_deleting(owner):
        try:
            await _manage(context, resource, owner, active)
        except StatusError as error:
            failure = error
    now = context.clock.now()
    await statuses.write(context, resource, owner, status_of(owner, active, failure, now))
    if failure is not None:
        raise failure
    return Result(pods.next_available(active, int(owner["spec"].get("minReadySeconds") or 0), now))


async def _manage(context: Context, resource: Resource, owner: Object, active: list[Object]) -> None:
    wanted = int(owner["spec"].get("replicas", 1))
    related = _related(context, resource, owner) if len(active) > wanted else ()
    decided = plan(wanted, active, related, context.clock.now())
    if decided.create:
        pod = podcontrol.pod_from_template(owner["spec"]["template"], owner)
        await podcontrol.create_many(context, owner, [pod] * decided.create)
    elif decided.delete:
        await podcontrol.delete_many(context, owner, decided.delete)


def _related(context: Context, resource: Resource, owner: Object) -> list[Object]:
    """Pods of all owners that have the same owner (all ReplicaSets of a Deployment), to spread what is removed."""
    namespace = owner["metadata"]["namespace"]
    parent = ownership.controller_of(owner)
    siblings = [owner["metadata"]["uid"]]
    if parent is not None:
        siblings = [item["metadata"]["uid"] for item in context.source.owned_by(resource, namespace, parent["uid"])]
    found: list[Object] = []
    for uid in siblings:
        found.extend(context.source.owned_by(PODS, namespace, uid))
    return found
