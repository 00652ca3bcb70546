"""ResourceQuota: what would exceed a quota of its namespace is refused, what fits is charged.

The quota's ``status.used`` is written in the same transaction as the object, so nothing is ever charged without being
there, or there without being charged. What has gone is given back likewise, where only its number counted; what pods,
services and claims used, the resourcequota-controller finds out anew.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, errors
from kloster.apimachinery.apply import track_update
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.quantity import ZERO
from kloster.apiserver import storage
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin
from kloster.apiserver.facets import STATUS
from kloster.kinds.quota import amounts, measures
from kloster.kinds.quota.amounts import Amounts
from kloster.kinds.quota.measures import Measure
from kloster.kinds.quota.scopes import is_terminating
from kloster.stores.api import Operation

_QUOTAS = "/resourcequotas"


def _charge(attempt: Attempt) -> None:
    if not attempt.namespace or not _matters(attempt):
        return
    quotas = attempt.scan(_QUOTAS, attempt.namespace)
    measure = measures.of(attempt.served.id) if quotas else None
    if measure is None:
        return
    concerned = [quota for quota in quotas if _concerns(attempt, measure, quota)]
    if not concerned:
        return
    usage = measure.usage(attempt.item, attempt.cluster.clock.now())
    negative = sorted(name for name, amount in usage.items() if amount < ZERO)
    if negative:
        raise _forbidden(attempt, f"quota usage is negative for resource(s): {','.join(negative)}")
    for quota in concerned:
        more = amounts.something(_more(attempt, measure, quota, usage))
        if more:
            attempt.also.extend(_charged(attempt, quota, more))


def _matters(attempt: Attempt) -> bool:
    """Most updates of pods change nothing that counts."""
    if attempt.operation == CREATE or attempt.served.id != "/pods" or attempt.subresource == "resize":
        return True
    return attempt.old is not None and is_terminating(attempt.item) != is_terminating(attempt.old)


def _concerns(attempt: Attempt, measure: Measure, quota: Object) -> bool:
    """Whether a quota is about the object. Raises StatusError if the object does not say what the quota must know."""
    hard = amounts.of_quota(quota, "hard")
    if not measure.concerns(quota, attempt.item, list(hard)):
        return False
    name, covered = quota["metadata"]["name"], measure.covered(hard)
    lacking = measure.missing(covered, attempt.item)
    if lacking:
        raise _forbidden(attempt, f"failed quota: {name}: {lacking}")
    used = (quota.get("status") or {}).get("used") or {}
    if any(resource not in used for resource in covered):
        raise _forbidden(attempt, f"status unknown for quota: {name}, resources: {','.join(sorted(covered))}")
    return True


def _more(attempt: Attempt, measure: Measure, quota: Object, usage: Amounts) -> Amounts:
    """What the write uses more than what was there."""
    old = attempt.old
    if attempt.operation != UPDATE or old is None:
        return usage
    if not measure.concerns(quota, old, list(amounts.of_quota(quota, "hard"))):
        return usage
    return amounts.subtract(usage, measure.usage(old, attempt.cluster.clock.now()))


def _charged(attempt: Attempt, quota: Object, more: Amounts) -> Iterator[Operation]:
    hard, used = amounts.of_quota(quota, "hard"), amounts.of_quota(quota, "used")
    asked = amounts.only(more, hard)
    total = amounts.add(used, asked)
    exceeded = [name for name in asked if total[name] > hard[name]]
    if exceeded and attempt.subresource != "status":
        told = ", ".join(
            f"{word}: {amounts.shown(amounts.only(found, exceeded))}"
            for word, found in (("requested", asked), ("used", used), ("limited", hard))
        )
        raise _forbidden(attempt, f"exceeded quota: {quota['metadata']['name']}, {told}")
    if asked:
        yield _written(attempt, quota, total)


def _written(attempt: Attempt, quota: Object, used: Amounts) -> Operation:
    """The quota with another ``status.used``, as the API server itself writes it."""
    cluster = attempt.cluster
    served = cluster.resources.stored_as(_QUOTAS)
    assert served is not None
    new = clone(quota)
    new["status"]["used"] = amounts.texts(used)
    new["metadata"]["managedFields"] = track_update(
        quota,
        new,
        served.kind.type,
        manager="kube-apiserver",
        api_version=served.kind.api_version,
        now=rfc3339(cluster.clock.now()),
        subresource="status",
        reset=STATUS.resets(served),
    )
    operation: Operation = storage.put(served, new, quota)
    return operation


def _forbidden(attempt: Attempt, text: str) -> StatusError:
    return errors.forbidden(attempt.served.group, attempt.served.plural, attempt.name, text)


def released(attempt: Attempt) -> Sequence[Operation]:
    """The quotas without an object that has gone."""
    if not attempt.namespace or measures.has_own(attempt.served.id) or attempt.old is None:
        return ()
    quotas = attempt.scan(_QUOTAS, attempt.namespace)
    measure = measures.of(attempt.served.id) if quotas else None
    if measure is None:
        return ()
    usage = measure.usage(attempt.old, attempt.cluster.clock.now())
    found: list[Operation] = []
    for quota in quotas:
        used = amounts.of_quota(quota, "used")
        if measure.concerns(quota, attempt.old, list(used)) and quota["metadata"]["uid"] != _uid(attempt.old):
            found.append(_written(attempt, quota, amounts.subtract(used, amounts.only(usage, used))))
    return found


def _uid(item: Object) -> str:
    return str(item["metadata"].get("uid", ""))


CREATED = Plugin(name="ResourceQuota", operations=frozenset({CREATE}), charge=_charge)
PODS = Plugin(
    name="ResourceQuota",
    operations=frozenset({UPDATE}),
    resources=frozenset({"/pods"}),
    subresources=frozenset({"", "resize"}),
    charge=_charge,
)
SERVICES = Plugin(
    name="ResourceQuota", operations=frozenset({UPDATE}), resources=frozenset({"/services"}), charge=_charge
)
CLAIMS = Plugin(
    name="ResourceQuota",
    operations=frozenset({UPDATE}),
    resources=frozenset({"/persistentvolumeclaims"}),
    subresources=frozenset({"", "status"}),
    charge=_charge,
)
