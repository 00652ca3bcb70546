"""What an object uses of the resources that quotas limit: the counterpart of upstream's evaluators.

A `Measure` belongs to one resource (``group/plural``). Pods, services and claims have their own; of everything else
quotas can limit the number: ``count/deployments.apps``, and ``secrets`` for some that were counted early on.

    of(resource_id)         the measure of a resource; None: quotas do not apply
    counted(name)           the resource_id that ``count/…`` or an older name is about
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.apimachinery.quantity import of as number
from kloster.kinds import quantity, resources, times
from kloster.kinds.podspec.aggregate import effective
from kloster.kinds.quota import scopes
from kloster.kinds.quota.amounts import Amounts, add

ONE, NONE = number(1), number(0)
_OLDER_NAMES = frozenset({"configmaps", "resourcequotas", "replicationcontrollers", "secrets"})
_UNCOUNTED = frozenset({"/events", "events.k8s.io/events", "/bindings", "/componentstatuses"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How one resource counts.

    covers   whether it can use something of a resource with that name
    usage    what an object uses now (`now` in seconds since 1970)
    matches  whether a scope's requirement fits an object
    missing  what is wrong with an object under a quota that limits these names; empty: nothing
    updates  whether updates can use more; otherwise only creating does
    """

    covers: Callable[[str], bool]
    usage: Callable[[Object, float], Amounts]
    matches: Callable[[Object, Object], bool] = scopes.nothing
    missing: Callable[[Iterable[str], Object], str] = lambda _names, _item: ""
    updates: bool = False

    def covered(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.covers(name)]

    def concerns(self, quota: Object, item: Object, names: Sequence[str]) -> bool:
        """Whether `quota`, which limits `names`, is about `item`."""
        return any(map(self.covers, names)) and all(self.matches(scope, item) for scope in scopes.of_quota(quota))


def of(resource_id: str) -> Measure | None:
    found = _OWN.get(resource_id)
    if found is not None:
        return found
    return None if resource_id in _UNCOUNTED else _count(resource_id)


def has_own(resource_id: str) -> bool:
    """Whether more than the number of objects counts, so that usage changes while they live."""
    return resource_id in _OWN


def counted(name: str) -> str | None:
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        found = f"{group}/{plural}"
        return None if found in _UNCOUNTED else found
    return f"/{name}" if name in _OLDER_NAMES else None


def _count_name(resource_id: str) -> str:
    group, _, plural = resource_id.rpartition("/")
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def _count(resource_id: str) -> Measure:
    """One for each object, whatever it is."""
    plural = resource_id.removeprefix("/")
    names = (_count_name(resource_id), *((plural,) if plural in _OLDER_NAMES else ()))
    usage = dict.fromkeys(names, ONE)
    return Measure(covers=names.__contains__, usage=lambda _item, _now: usage)


# --- pods ---------------------------------------------------------------------------------------------------------

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_NAMES = frozenset(
    ["count/pods", "pods", *_COMPUTE, *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _COMPUTE)]
)
_MUST_BE_SET = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def _covers_pods(name: str) -> bool:
    if name in _POD_NAMES or name.startswith(("hugepages-", "requests.hugepages-")):
        return True
    return name.startswith("requests.") and not resources.is_native(name)


def charged_until(pod: Object) -> float | None:
    """When a pod that is being deleted should have ended; what is stuck on a lost node is charged no longer."""
    metadata = pod["metadata"]
    deleted, grace = times.parse(metadata.get("deletionTimestamp")), metadata.get("deletionGracePeriodSeconds")
    return None if deleted is None or grace is None else deleted + grace


def has_ended(pod: Object, now: float) -> bool:
    """Whether nothing of the pod runs any more, or should."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return True
    end = charged_until(pod)
    return end is not None and now > end


def _pod_usage(pod: Object, now: float) -> Amounts:
    one = {"count/pods": ONE}
    if has_ended(pod, now):
        return one
    spec = pod.get("spec") or {}
    return add(one, _compute(effective(spec, "requests"), effective(spec, "limits")))


def _compute(requests: Amounts, limits: Amounts) -> Amounts:
    found: Amounts = {"pods": ONE}
    for name in _COMPUTE:
        if name in requests:
            found[name] = found[f"requests.{name}"] = requests[name]
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            found[name] = found[f"requests.{name}"] = amount
        elif resources.is_extended(name):
            found[f"requests.{name}"] = amount
    return found


def _missing_of_pod(names: Iterable[str], pod: Object) -> str:
    """Who limits cpu or memory wants every container to say how much it needs."""
    spec = pod.get("spec") or {}
    overall = spec.get("resources") or {}
    if overall.get("requests") or overall.get("limits"):
        return ""
    wanted = sorted(set(names).intersection(_MUST_BE_SET))
    lacking: dict[str, set[str]] = {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        own = container.get("resources") or {}
        given = _compute(*(dict.fromkeys(own.get(kind) or (), ONE) for kind in ("requests", "limits")))
        for name in wanted:
            if name not in given:
                lacking.setdefault(name, set()).add(container["name"])
    if not lacking:
        return ""
    return "must specify " + "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))


# --- services and claims ------------------------------------------------------------------------------------------

_SERVICE_NAMES = frozenset({"count/services", "services", "services.nodeports", "services.loadbalancers"})


def _service_usage(service: Object, _now: float) -> Amounts:
    spec = service.get("spec") or {}
    ports, kind = spec.get("ports") or (), spec.get("type")
    balanced = kind == "LoadBalancer"
    count = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    if balanced and spec.get("allocateLoadBalancerNodePorts") is False:
        count = sum(bool(port.get("nodePort")) for port in ports)
    return {
        "count/services": ONE,
        "services": ONE,
        "services.loadbalancers": ONE if balanced else NONE,
        "services.nodeports": number(count),
    }


_CLASS = ".storageclass.storage.k8s.io/"
_CLAIM_NAMES = ("persistentvolumeclaims", "requests.storage")
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def _covers_claims(name: str) -> bool:
    if name == "count/persistentvolumeclaims" or name in _CLAIM_NAMES:
        return True
    return name.endswith(tuple(f"{_CLASS}{suffix}" for suffix in _CLAIM_NAMES))


def _claim_usage(claim: Object, _now: float) -> Amounts:
    spec, annotations = claim.get("spec") or {}, claim["metadata"].get("annotations") or {}
    storage_class = annotations.get(_CLASS_ANNOTATION) or spec.get("storageClassName")
    found = {"persistentvolumeclaims": ONE, "count/persistentvolumeclaims": ONE}
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is not None:
        given = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
        most = max(quantity.parse(text) for text in (asked, given) if text is not None)
        found["requests.storage"] = most if quantity.is_whole(most) else number(most.value, most.format)
    if storage_class:
        found.update({f"{storage_class}{_CLASS}{name}": found[name] for name in _CLAIM_NAMES if name in found})
    return found


_OWN = {
    "/pods": Measure(
        covers=_covers_pods, usage=_pod_usage, matches=scopes.of_pod, missing=_missing_of_pod, updates=True
    ),
    "/services": Measure(covers=_SERVICE_NAMES.__contains__, usage=_service_usage, updates=True),
    "/persistentvolumeclaims": Measure(
        covers=_covers_claims, usage=_claim_usage, matches=scopes.of_claim, updates=True
    ),
}
