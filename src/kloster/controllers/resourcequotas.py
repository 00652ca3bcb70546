"""resourcequota-controller: what each ResourceQuota's namespace uses.

The API server charges what is created in the same transaction (`kloster.apiserver.admission.resource_quota`). This
counts anew when a quota is new or asks for something else, when pods end, services change their type, and such things
go. Objects and quota are read at one moment, and the status is written only if the quota is
still that one: a charge in between makes the write fail, and it is counted again.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kloster.apimachinery import Object
from kloster.client.api import Change, Resource, Source
from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from kloster.kinds.quota import amounts, measures, scopes
from kloster.kinds.quota.amounts import Amounts
from kloster.runtime.api import Context, Controller, Key, Result, Watch
from kloster.workloads import statuses

_OWN: tuple[Resource, ...] = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)


def usage(source: Source, quota: Object, now: float) -> Amounts:
    """What the namespace uses of what the quota limits."""
    hard = amounts.parsed((quota.get("spec") or {}).get("hard"))
    total: Amounts = {}
    for resource in _counted(hard):
        measure = measures.of(f"{resource.group}/{resource.plural}")
        names = [] if measure is None else measure.covered(hard)
        if measure is None or not names:
            continue
        total = {**dict.fromkeys(names, measures.NONE), **total}
        for item in source.list(resource, quota["metadata"]["namespace"]):
            if measure.concerns(quota, item, names):
                total = amounts.add(total, amounts.only(measure.usage(item, now), names))
    return total


def _counted(hard: Iterable[str]) -> Iterator[Resource]:
    """The resources that a quota with these limits is about, each once."""
    yield from _OWN
    known = {f"{resource.group}/{resource.plural}" for resource in _OWN}
    for name in hard:
        found = measures.counted(name)
        if found is not None and found not in known:
            known.add(found)
            group, _, plural = found.rpartition("/")
            yield Resource(group, "", plural, "", True)


def status_of(source: Source, quota: Object, now: float) -> Object:
    """What cannot be counted stays as it was observed last."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    known = amounts.only(amounts.of_quota(quota, "used"), hard)
    return {"hard": dict(hard), "used": amounts.texts({**known, **usage(source, quota, now)})}


async def reconcile(context: Context, key: Key) -> Result | None:
    quota = context.source.get(RESOURCE_QUOTAS, *key)
    if quota is None or "deletionTimestamp" in quota["metadata"]:
        return None
    await statuses.write(context, RESOURCE_QUOTAS, quota, status_of(context.source, quota, context.clock.now()))
    return _next(context.source.list(PODS, key.namespace), context.clock.now())


def _next(pods: Iterable[Object], now: float) -> Result | None:
    """When the next pod that should have ended is charged no longer, though it is there still."""
    ends = [end for pod in pods if (end := measures.charged_until(pod)) is not None and end >= now]
    return Result(min(ends) - now + 1) if ends else None


# --- when ---------------------------------------------------------------------------------------------------------


def _quotas(context: Context, change: Change) -> Iterator[Key]:
    """The quotas of the namespace that limit what the changed object may use."""
    resource, namespace = change.resource, change.object["metadata"].get("namespace", "")
    measure = measures.of(f"{resource.group}/{resource.plural}")
    for quota in context.source.list(RESOURCE_QUOTAS, namespace):
        if measure is not None and measure.covered((quota.get("spec") or {}).get("hard") or ()):
            yield Key(namespace, quota["metadata"]["name"])


def _frees(change: Change) -> bool:
    """Whether the object may use less than before: who uses more has been charged."""
    old, new = change.old, change.new
    if old is None:
        return False
    if new is None:
        return True
    kind = change.resource.plural
    if kind == "pods":
        return (
            _phase(old) != _phase(new)
            or measures.charged_until(old) != measures.charged_until(new)
            or scopes.is_terminating(old) != scopes.is_terminating(new)
            or _spec(old, "containers") != _spec(new, "containers")
        )
    if kind == "services":
        return _spec(old, "type") != _spec(new, "type") or _spec(old, "ports") != _spec(new, "ports")
    return scopes.attributes_classes(old) != scopes.attributes_classes(new) or _allocated(old) != _allocated(new)


def _spec(item: Object, field: str) -> object:
    return (item.get("spec") or {}).get(field)


def _phase(pod: Object) -> object:
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def _allocated(claim: Object) -> object:
    return (claim.get("status") or {}).get("allocatedResources")


def _asks_for_more(change: Change) -> bool:
    """A quota whose status does not tell yet what its spec asks for."""
    if change.new is None:
        return False
    spec, status = change.new.get("spec") or {}, change.new.get("status") or {}
    return status.get("hard") != (spec.get("hard") or {}) or set(status.get("used") or ()) != set(
        spec.get("hard") or ()
    )


CONTROLLER = Controller(
    "resourcequota-controller",
    (
        Watch(RESOURCE_QUOTAS, relevant=_asks_for_more),
        *(Watch(resource, relevant=_frees, lookup=_quotas) for resource in _OWN),
    ),
    reconcile,
)
