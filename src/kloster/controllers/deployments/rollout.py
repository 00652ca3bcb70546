"""How a Deployment moves its ReplicaSets: pure arithmetic.

A Deployment has one *new* ReplicaSet, whose template is its own, and *old* ones. A rollout raises the new one and
lowers the old ones such that never more than replicas + maxSurge pods exist and never fewer than
replicas - maxUnavailable are available. The functions here return the sizes that ReplicaSets are to have.
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.workloads import ownership
from kloster.workloads.amounts import fenceposts, scaled
from kloster.workloads.hashing import same_template

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
_HISTORY_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Scale:
    """`replica_set` is to have `replicas` pods."""

    replica_set: Object
    replicas: int


def replicas(item: Object) -> int:
    """spec.replicas; its default is 1."""
    return int(item["spec"].get("replicas", 1))


def counted(items: Iterable[Object | None], field: str) -> int:
    """The sum of a status field over ReplicaSets that exist."""
    return sum(int((item.get("status") or {}).get(field) or 0) for item in items if item is not None)


def total(items: Iterable[Object | None]) -> int:
    return sum(replicas(item) for item in items if item is not None)


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def _limits(deployment: Object) -> Object:
    return (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}


def max_surge(deployment: Object) -> int:
    if not is_rolling(deployment):
        return 0
    limits = _limits(deployment)
    return fenceposts(limits.get("maxSurge"), limits.get("maxUnavailable"), replicas(deployment))[0]


def max_unavailable(deployment: Object) -> int:
    wanted = replicas(deployment)
    if not is_rolling(deployment) or wanted == 0:
        return 0
    limits = _limits(deployment)
    return min(wanted, fenceposts(limits.get("maxSurge"), limits.get("maxUnavailable"), wanted)[1])


def find_new(deployment: Object, replica_sets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet whose template is the deployment's."""
    template = deployment["spec"]["template"]
    for item in ownership.oldest_first(replica_sets):
        if same_template(item["spec"]["template"], template):
            return item
    return None


def new_size(deployment: Object, everything: Sequence[Object], new: Object) -> int:
    """How large the new ReplicaSet may be now. `everything` includes it."""
    wanted, size = replicas(deployment), replicas(new)
    if not is_rolling(deployment):
        return wanted
    most = wanted + scaled(_limits(deployment).get("maxSurge"), wanted, up=True)
    room = most - total(everything)
    return size if room <= 0 else size + min(room, wanted - size)


def grow(deployment: Object, new: Object, old: Sequence[Object]) -> Scale | None:
    """The step of a rolling update that sizes the new ReplicaSet."""
    wanted, size = replicas(deployment), replicas(new)
    if size == wanted:
        return None
    target = wanted if size > wanted else new_size(deployment, [*old, new], new)
    return Scale(new, target) if target != size else None


def shrink(deployment: Object, new: Object, old: Sequence[Object]) -> list[Scale]:
    """The step of a rolling update that lowers old ReplicaSets: first what is not available anyway, then the rest."""
    if total(old) == 0:
        return []
    everything = [*old, new]
    minimum = replicas(deployment) - max_unavailable(deployment)
    new_unavailable = replicas(new) - counted([new], "availableReplicas")
    budget = total(everything) - minimum - new_unavailable
    if budget <= 0:
        return []
    sizes = {item["metadata"]["uid"]: replicas(item) for item in old}
    ordered = ownership.oldest_first(old)
    for item in ordered:
        uid = item["metadata"]["uid"]
        unhealthy = sizes[uid] - counted([item], "availableReplicas")
        removed = min(budget, max(unhealthy, 0)) if sizes[uid] else 0
        sizes[uid] -= removed
        budget -= removed
    spare = counted(everything, "availableReplicas") - minimum
    for item in ordered:
        if spare <= 0:
            break
        uid = item["metadata"]["uid"]
        removed = min(sizes[uid], spare)
        sizes[uid] -= removed
        spare -= removed
    return [
        Scale(item, sizes[item["metadata"]["uid"]])
        for item in ordered
        if sizes[item["metadata"]["uid"]] != replicas(item)
    ]


def is_scaling(deployment: Object, replica_sets: Iterable[Object]) -> bool:
    """Whether spec.replicas has changed since the active ReplicaSets were sized."""
    wanted = replicas(deployment)
    for item in replica_sets:
        desired = _number(item, DESIRED_REPLICAS)
        if replicas(item) > 0 and desired is not None and desired != wanted:
            return True
    return False


def is_saturated(deployment: Object, new: Object | None) -> bool:
    if new is None:
        return False
    wanted = replicas(deployment)
    available = counted([new], "availableReplicas")
    return replicas(new) == wanted == available and _number(new, DESIRED_REPLICAS) == wanted


def scale(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Scale]:
    """Sizes after a change of spec.replicas, or while paused: in proportion, so that a rollout is not hastened."""
    wanted = replicas(deployment)
    everything = [*old, *([new] if new is not None else [])]
    active = [item for item in everything if replicas(item) > 0]
    if len(active) <= 1:
        single = active[0] if active else (new or _latest(old))
        return [Scale(single, wanted)] if single is not None and replicas(single) != wanted else []
    if is_saturated(deployment, new):
        return [Scale(item, 0) for item in old if replicas(item) > 0]
    return _in_proportion(deployment, active) if is_rolling(deployment) else []


def _in_proportion(deployment: Object, active: list[Object]) -> list[Scale]:
    wanted = replicas(deployment)
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - total(active)
    # The largest first; among equals the newest when growing, the oldest when shrinking.
    ordered = ownership.oldest_first(active)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=lambda item: -replicas(item))
    added, sizes = 0, []
    for item in ordered:
        part = _share(deployment, item, to_add, added)
        sizes.append(replicas(item) + part)
        added += part
    if to_add:
        sizes[0] = max(0, sizes[0] + to_add - added)
    return [Scale(item, size) for item, size in zip(ordered, sizes, strict=True)]


def _share(deployment: Object, item: Object, to_add: int, added: int) -> int:
    if to_add in (0, added):
        return 0
    fraction, left = _fraction(deployment, item), to_add - added
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def _fraction(deployment: Object, item: Object) -> int:
    size = replicas(item)
    if replicas(deployment) == 0:
        return -size
    before = _number(item, MAX_REPLICAS) or counted([deployment], "replicas")
    if not before:
        return 0
    return math.floor(size * (replicas(deployment) + max_surge(deployment)) / before + 0.5) - size


def _latest(replica_sets: Sequence[Object]) -> Object | None:
    return ownership.oldest_first(replica_sets)[-1] if replica_sets else None


def revision(replica_set: Object) -> int:
    return _number(replica_set, REVISION) or 0


def _number(item: Object, annotation: str) -> int | None:
    text = (item["metadata"].get("annotations") or {}).get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() else None


def size_annotations(deployment: Object) -> dict[str, str]:
    wanted = replicas(deployment)
    return {DESIRED_REPLICAS: str(wanted), MAX_REPLICAS: str(wanted + max_surge(deployment))}


def new_annotations(deployment: Object, replica_set: Object, new_revision: int) -> dict[str, str]:
    """The new ReplicaSet's annotations: the deployment's, the revision, and which revisions it was before."""
    found: dict[str, str] = dict(replica_set["metadata"].get("annotations") or {})
    for name, value in (deployment["metadata"].get("annotations") or {}).items():
        if name not in _NOT_COPIED:
            found[name] = value
    earlier = found.get(REVISION)
    if earlier is not None and earlier and not (earlier.isascii() and earlier.isdigit()):
        return found
    if int(earlier or 0) < new_revision:
        found[REVISION] = str(new_revision)
        if earlier is not None:
            history = [text for text in found.get(REVISION_HISTORY, "").split(",") if text] + [earlier]
            while len(",".join(history)) > _HISTORY_LENGTH:
                history.pop(0)
            found[REVISION_HISTORY] = ",".join(history)
    return found


def superfluous(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old ReplicaSets beyond revisionHistoryLimit, lowest revision first, as far as they are empty."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return []
    alive = [item for item in old if "deletionTimestamp" not in item["metadata"]]
    alive.sort(key=revision)
    excess = alive[: max(0, len(alive) - int(limit))]
    return [
        item
        for item in excess
        if not replicas(item)
        and not counted([item], "replicas")
        and int((item.get("status") or {}).get("observedGeneration") or 0)
        >= int(item["metadata"].get("generation") or 0)
    ]
