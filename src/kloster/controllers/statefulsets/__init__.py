"""statefulset-controller: pods with an identity that survives them.

`plan` decides what is next, `identity` what a pod looks like; here it is carried out. Claims are created before
their pod and kept after it, unless the retention policy says otherwise.
https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from kloster.controllers.statefulsets import identity
from kloster.controllers.statefulsets.plan import Plan, plan, status_of
from kloster.runtime.api import Context, Controller, Key, Result, Watch, only_read
from kloster.workloads import ownership, podcontrol, pods, revisions, statuses

_HASH_LABEL = "controller.kubernetes.io/hash"


async def reconcile(context: Context, key: Key) -> Result | None:
    stateful_set = context.source.get(STATEFUL_SETS, *key)
    if stateful_set is None:
        return None
    if pods.is_deleting(stateful_set):
        await _report_deleting(context, stateful_set)
        return None
    selector = stateful_set["spec"]["selector"]
    claimed = await ownership.claim(context, PODS, stateful_set, STATEFUL_SETS, selector)
    everything = [pod for pod in claimed if identity.ordinal(stateful_set, pod) >= 0]
    known, update = await revisions.sync(context, STATEFUL_SETS, stateful_set, _HASH_LABEL)
    said = (stateful_set.get("status") or {}).get("currentRevision")
    current = next((item for item in known if item["metadata"]["name"] == said), update)
    names = current["metadata"]["name"], update["metadata"]["name"]
    failure: StatusError | None = None
    decided = plan(stateful_set, everything, *names, context.clock.now())
    try:
        await _carry_out(context, stateful_set, decided, {names[0]: current, names[1]: update}, everything)
    except StatusError as error:
        failure = error
    now = context.clock.now()
    present = _present(context, stateful_set)
    collisions = int((stateful_set.get("status") or {}).get("collisionCount") or 0)
    status = status_of(stateful_set, present, *names, collisions, now)
    await statuses.write(context, STATEFUL_SETS, stateful_set, status)
    live = {status["currentRevision"], *names, *(identity.revision(pod) for pod in present)}
    await revisions.truncate(context, known, live, int(stateful_set["spec"].get("revisionHistoryLimit", 10)))
    if failure is not None:
        raise failure
    minimum = int(stateful_set["spec"].get("minReadySeconds") or 0)
    return Result(pods.next_available(present, minimum, now))


async def _report_deleting(context: Context, stateful_set: Object) -> None:
    """Count what is left. Nothing is made any more: what garbage collection removes would only come back."""
    status = stateful_set.get("status") or {}
    names = str(status.get("currentRevision") or ""), str(status.get("updateRevision") or "")
    if not all(names):
        return
    collisions = int(status.get("collisionCount") or 0)
    counted = status_of(stateful_set, _present(context, stateful_set), *names, collisions, context.clock.now())
    await statuses.write(context, STATEFUL_SETS, stateful_set, counted)


def _present(context: Context, stateful_set: Object) -> list[Object]:
    metadata = stateful_set["metadata"]
    owned = context.source.owned_by(PODS, metadata["namespace"], metadata["uid"])
    return [pod for pod in owned if ownership.is_controlled_by(pod, stateful_set)]


async def _carry_out(
    context: Context,
    stateful_set: Object,
    decided: Plan,
    by_name: dict[str, Object],
    everything: Iterable[Object],
) -> None:
    for pod in decided.check:
        await _check(context, stateful_set, pod)
    await podcontrol.in_batches(
        [
            lambda number=number, name=name: _create(context, stateful_set, by_name[name], number)  # type: ignore[misc]
            for number, name in decided.create
        ]
    )
    for pod in everything:
        if not identity.is_wanted(stateful_set, identity.ordinal(stateful_set, pod)):
            await _fix_owners(context, stateful_set, pod, condemned=True)
    await podcontrol.all_of(_delete(context, stateful_set, pod) for pod in decided.delete)


async def _create(context: Context, stateful_set: Object, revision: Object, number: int) -> None:
    name = f"{stateful_set['metadata']['name']}-{number}"
    await _create_claims(context, stateful_set, number, name)
    template = revisions.template_of(revision)
    pod = identity.new_pod(stateful_set, template, number, revision["metadata"]["name"])
    subject = f"create Pod {name} in StatefulSet {stateful_set['metadata']['name']}"
    try:
        await context.client.create(PODS, pod)
    except StatusError as error:
        if error.reason == "AlreadyExists" or podcontrol.namespace_is_terminating(error):
            return  # ours, not seen yet, or somebody else's: either way its next change brings us back
        context.recorder.event(stateful_set, "Warning", "FailedCreate", f"{subject} failed error: {error}")
        raise
    context.recorder.event(stateful_set, "Normal", "SuccessfulCreate", f"{subject} successful")


async def _create_claims(context: Context, stateful_set: Object, number: int, pod_name: str) -> None:
    for claim in identity.new_claims(stateful_set, number):
        metadata = claim["metadata"]
        existing = context.source.get(PERSISTENT_VOLUME_CLAIMS, metadata["namespace"], metadata["name"])
        if existing is not None:
            continue
        subject = f"create Claim {metadata['name']} Pod {pod_name} in StatefulSet {stateful_set['metadata']['name']}"
        try:
            await context.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
        except StatusError as error:
            if error.reason == "AlreadyExists" or podcontrol.namespace_is_terminating(error):
                continue
            context.recorder.event(stateful_set, "Warning", "FailedCreate", f"{subject} failed error: {error}")
            raise
        context.recorder.event(stateful_set, "Normal", "SuccessfulCreate", f"{subject} success")


async def _check(context: Context, stateful_set: Object, pod: Object) -> None:
    """An existing pod: its claims exist while it is pending, its identity labels are there."""
    number = identity.ordinal(stateful_set, pod)
    if pods.phase(pod) == "Pending":
        await _create_claims(context, stateful_set, number, pod["metadata"]["name"])
    missing = identity.missing_labels(stateful_set, pod)
    metadata = pod["metadata"]
    if missing:
        patch = {"metadata": {"uid": metadata["uid"], "labels": missing}}
        await context.client.patch(PODS, metadata["namespace"], metadata["name"], patch, type="strategic")
    if await _fix_owners(context, stateful_set, pod, condemned=False) or missing:
        text = f"update Pod {metadata['name']} in StatefulSet {stateful_set['metadata']['name']} successful"
        context.recorder.event(stateful_set, "Normal", "SuccessfulUpdate", text)


async def _fix_owners(context: Context, stateful_set: Object, pod: Object, *, condemned: bool) -> bool:
    """Owner references of a pod's claims by the retention policy; references to others are left alone.

    Returns whether any was changed.
    """
    changed = False
    wanted = identity.claim_owners(stateful_set, pod, condemned)
    ours = {stateful_set["metadata"]["uid"], pod["metadata"]["uid"]}
    namespace = stateful_set["metadata"]["namespace"]
    for name in identity.claim_names(stateful_set, identity.ordinal(stateful_set, pod)).values():
        claim = context.source.get(PERSISTENT_VOLUME_CLAIMS, namespace, name)
        if claim is None:
            continue
        references = claim["metadata"].get("ownerReferences") or []
        mine = [reference["uid"] for reference in references if reference["uid"] in ours]
        if mine == [reference["uid"] for reference in wanted]:
            continue
        kept = [reference for reference in references if reference["uid"] not in ours]
        metadata = {**claim["metadata"], "ownerReferences": [*kept, *wanted]}
        await context.client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata})
        changed = True
    return changed


async def _delete(context: Context, stateful_set: Object, pod: Object) -> None:
    metadata = pod["metadata"]
    subject = f"delete Pod {metadata['name']} in StatefulSet {stateful_set['metadata']['name']}"
    try:
        await context.client.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
    except StatusError as error:
        if error.code in (404, 409):
            return
        context.recorder.event(stateful_set, "Warning", "FailedDelete", f"{subject} failed error: {error}")
        raise
    context.recorder.event(stateful_set, "Normal", "SuccessfulDelete", f"{subject} successful")


CONTROLLER = Controller(
    "statefulset-controller",
    (
        Watch(STATEFUL_SETS),
        Watch(PODS, lookup=ownership.keys_of_claimants(STATEFUL_SETS)),
        Watch(CONTROLLER_REVISIONS, keys=ownership.keys_of_owner("StatefulSet")),
        Watch(PERSISTENT_VOLUME_CLAIMS, relevant=only_read),
    ),
    reconcile,
)
