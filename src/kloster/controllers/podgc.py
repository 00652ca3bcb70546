"""pod-garbage-collector-controller: removes pods that nothing else will remove.

- ended pods beyond a threshold (12,500, as ``--terminated-pod-gc-threshold``), the oldest first;
- pods bound to a node that does not exist any more, after a quarantine of 40 seconds;
- pods that are being deleted and were never bound, and pods that are being deleted on a node that is out of service.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import NODES, PODS
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import pods

THRESHOLD = 12_500
_QUARANTINE = 40.0
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_ALL = Key("", "all")
_MISSING = "missing"
_ENDED = "ended"


def surplus(ended: Sequence[Object], threshold: int) -> list[Object]:
    """The oldest ended pods beyond the threshold."""
    if threshold <= 0 or len(ended) <= threshold:
        return []
    return sorted(ended, key=lambda pod: (pods.created(pod), pod["metadata"]["name"]))[: len(ended) - threshold]


def _node_name(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


async def reconcile(context: Context, key: Key) -> Result | None:
    everything = context.source.list(PODS)
    threshold = int(context.settings.get("terminated_pod_gc_threshold", THRESHOLD))
    ended = [pod for pod in everything if pods.is_terminal(pod) and not pods.is_deleting(pod)]
    for pod in surplus(ended, threshold):
        await _remove(context, pod, None)
    for pod in everything:
        if pods.is_deleting(pod) and (not _node_name(pod) or _is_out_of_service(context, pod)):
            await _remove(context, pod, None)
    return await _remove_orphans(context, everything)


async def _remove_orphans(context: Context, everything: Sequence[Object]) -> Result | None:
    missing: dict[str, float] = context.memory.setdefault(_MISSING, {})
    used = {_node_name(pod) for pod in everything} - {""}
    gone = {name for name in used if context.source.get(NODES, "", name) is None}
    now = context.clock.monotonic()
    for name in tuple(missing):
        if name not in gone:
            del missing[name]
    for name in gone:
        missing.setdefault(name, now)
    waits: list[float] = []
    for name in sorted(gone):
        left = missing[name] + _QUARANTINE - now
        if left > 0:
            waits.append(left)
        elif await _is_really_gone(context, name):
            for pod in everything:
                if _node_name(pod) == name:
                    await _remove(context, pod, "PodGC: node no longer exists")
    return Result(min(waits, default=None))


async def _is_really_gone(context: Context, name: str) -> bool:
    try:
        await context.client.get(NODES, "", name)
    except StatusError as error:
        if error.code == 404:
            return True
        raise
    return False


def _is_out_of_service(context: Context, pod: Object) -> bool:
    node = context.source.get(NODES, "", _node_name(pod))
    if node is None or pods.is_ready(node):
        return False
    return any(taint["key"] == _OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())


async def _remove(context: Context, pod: Object, message: str | None) -> None:
    """Force the deletion; a pod that had not ended is marked as failed first, with the reason."""
    metadata = pod["metadata"]
    try:
        if not pods.is_terminal(pod):
            await context.client.patch(
                PODS,
                metadata["namespace"],
                metadata["name"],
                {"metadata": {"uid": metadata["uid"]}, "status": _failed(pod, message, context.clock.now())},
                type="strategic",
                subresource="status",
            )
        await context.client.delete(
            PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"], grace_period_seconds=0
        )
    except StatusError as error:
        if error.code not in (404, 409):
            raise


def _failed(pod: Object, message: str | None, now: float) -> Object:
    status: Object = {"phase": "Failed"}
    if message is not None and pods.condition(pod, "DisruptionTarget") is None:
        status["conditions"] = [
            {
                "type": "DisruptionTarget",
                "status": "True",
                "lastTransitionTime": rfc3339(now),
                "reason": "DeletionByPodGC",
                "message": message,
            }
        ]
    return status


def _of_pod(context: Context, change: Change) -> Iterable[Key]:
    """Only what there may be something to do about: all pods are looked through then."""
    old, new = change.old, change.new
    memory = context.memory
    memory[_ENDED] = memory.get(_ENDED, 0) + _counts(new) - _counts(old)
    threshold = int(context.settings.get("terminated_pod_gc_threshold", THRESHOLD))
    if _counts(new) > _counts(old) and memory[_ENDED] > threshold > 0:
        return (_ALL,)
    if new is None:
        return ()
    name = _node_name(new)
    if pods.is_deleting(new) and (not name or _is_out_of_service(context, new)):
        return (_ALL,)
    is_new_there = name and (old is None or _node_name(old) != name)
    return (_ALL,) if is_new_there and context.source.get(NODES, "", name) is None else ()


def _counts(pod: Object | None) -> bool:
    return pod is not None and pods.is_terminal(pod) and not pods.is_deleting(pod)


def _all(_: Change) -> Iterable[Key]:
    return (_ALL,)


def _node_lost(change: Change) -> bool:
    return change.new is None or bool(change.new["spec"].get("taints"))


CONTROLLER = Controller(
    "pod-garbage-collector-controller",
    (Watch(PODS, lookup=_of_pod), Watch(NODES, keys=_all, relevant=_node_lost)),
    reconcile,
)
