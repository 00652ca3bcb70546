"""daemonset-controller: one pod on each node that fits.

A daemon pod is pinned to its node by node affinity and bound by the scheduler.
https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.aio.backoff import Backoff
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from kloster.controllers.daemonsets import plan
from kloster.kinds import selector as selectors
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import ownership, podcontrol, pods, revisions, statuses

_RETRY_FAILED = Backoff(first=1.0, limit=900.0)  # between deletions of failed pods on one node
_FORGET_AFTER = 2 * _RETRY_FAILED.limit


async def reconcile(context: Context, key: Key) -> Result | None:
    daemon_set = context.source.get(DAEMON_SETS, *key)
    if daemon_set is None:
        _forget(context, key)
        return None
    selector = daemon_set["spec"]["selector"]
    if selectors.is_empty(selector):
        message = "This daemon set is selecting all pods. A non-empty selector is required."
        context.recorder.event(daemon_set, "Warning", "SelectingAll", message)
        return None
    if pods.is_deleting(daemon_set):
        return None
    known, revision = await revisions.sync(context, DAEMON_SETS, daemon_set, plan.HASH_LABEL)
    digest = revisions.hash_of(revision, plan.HASH_LABEL)
    claimed = await ownership.claim(context, PODS, daemon_set, DAEMON_SETS, selector)
    nodes = context.source.list(NODES)
    now = context.clock.now()
    after: float | None = None
    failure: StatusError | None = None
    try:
        managed = plan.manage(daemon_set, nodes, claimed, digest, now)
        after = await _carry_out(context, key, daemon_set, managed, digest)
        if not managed.create and not managed.delete:
            rolled = plan.update(daemon_set, nodes, claimed, digest, now)
            await _carry_out(context, key, daemon_set, rolled, digest)
    except StatusError as error:
        failure = error
    present = [
        pod
        for pod in context.source.owned_by(PODS, key.namespace, daemon_set["metadata"]["uid"])
        if ownership.is_controlled_by(pod, daemon_set)
    ]
    now = context.clock.now()
    status = plan.status_of(daemon_set, nodes, present, digest, now)
    await statuses.write(context, DAEMON_SETS, daemon_set, status)
    live = {revision["metadata"]["name"]}
    used = {(pod["metadata"].get("labels") or {}).get(plan.HASH_LABEL, "") for pod in present}
    live |= {item["metadata"]["name"] for item in known if revisions.hash_of(item, plan.HASH_LABEL) in used}
    await revisions.truncate(context, known, live, int(daemon_set["spec"].get("revisionHistoryLimit", 10)))
    if failure is not None:
        raise failure
    minimum = int(daemon_set["spec"].get("minReadySeconds") or 0)
    waits = [wait for wait in (after, pods.next_available(present, minimum, now)) if wait is not None]
    return Result(min(waits, default=None))


async def _carry_out(context: Context, key: Key, daemon_set: Object, decided: plan.Plan, digest: str) -> float | None:
    """Returns seconds after which failed pods may be deleted that may not yet."""
    waits: list[float] = []
    delete = list(decided.delete)
    for pod in decided.failed:
        wait = _wait(context, key, plan.node_of(pod))
        if wait > 0:
            waits.append(wait)
            continue
        _report(context, daemon_set, pod, "Warning", "FailedDaemonPod", "failed")
        delete.append(pod)
    for pod in decided.succeeded:
        _report(context, daemon_set, pod, "Normal", "SucceededDaemonPod", "succeeded")
        delete.append(pod)
    made = [plan.new_pod(daemon_set, node, digest) for node in decided.create[: podcontrol.BURST]]
    await podcontrol.create_many(context, daemon_set, made)
    await podcontrol.delete_many(context, daemon_set, delete[: podcontrol.BURST])
    return min(waits, default=None)


def _report(context: Context, daemon_set: Object, pod: Object, type: str, reason: str, word: str) -> None:
    metadata = pod["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    ending = "will try to kill it" if word == "failed" else "will try to delete it"
    message = f"Found {word} daemon pod {name} on node {plan.node_of(pod)}, {ending}"
    context.recorder.event(daemon_set, type, reason, message)


def _wait(context: Context, key: Key, node: str) -> float:
    """Seconds until a failed pod on the node may be deleted (0: now; that counts as another failure)."""
    memory: dict[str, tuple[int, float]] = context.memory
    now = context.clock.monotonic()
    name = f"{key.namespace}/{key.name}/{node}"
    failures, last = memory.get(name, (0, 0.0))
    if failures and now - last > _FORGET_AFTER:
        failures = 0
    if failures:
        due: float = last + min(_RETRY_FAILED.limit, _RETRY_FAILED.first * 2 ** min(failures - 1, 20))
        if due > now:
            return due - now
    memory[name] = (failures + 1, now)
    return 0.0


def _forget(context: Context, key: Key) -> None:
    prefix = f"{key.namespace}/{key.name}/"
    for name in [name for name in context.memory if name.startswith(prefix)]:
        del context.memory[name]


def _of_node(context: Context, change: Change) -> Iterable[Key]:
    """A node appeared, went, or changed what matters to placement: every DaemonSet that sees it differently."""
    if change.old is not None and change.new is not None and _placement(change.old) == _placement(change.new):
        return
    for daemon_set in context.source.list(DAEMON_SETS):
        before = plan.fits(daemon_set, change.old) if change.old is not None else None
        after = plan.fits(daemon_set, change.new) if change.new is not None else None
        if before != after:
            yield Key(daemon_set["metadata"]["namespace"], daemon_set["metadata"]["name"])


def _placement(node: Object) -> tuple[object, ...]:
    """All of a node that DaemonSets look at; heartbeats change none of it."""
    return node["metadata"].get("labels"), node["spec"].get("taints")


CONTROLLER = Controller(
    "daemonset-controller",
    (
        Watch(DAEMON_SETS),
        Watch(PODS, lookup=ownership.keys_of_claimants(DAEMON_SETS)),
        Watch(CONTROLLER_REVISIONS, keys=ownership.keys_of_owner("DaemonSet")),
        Watch(NODES, lookup=_of_node),
    ),
    reconcile,
)
