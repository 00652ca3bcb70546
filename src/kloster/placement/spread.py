"""Topology spread constraints. Source: https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kloster.apimachinery import Object
from kloster.placement.affinity import selects


def hard_constraints(pod: Object) -> Sequence[Object]:
    """The constraints that forbid a node (whenUnsatisfiable: DoNotSchedule)."""
    listed = pod["spec"].get("topologySpreadConstraints") or ()
    return [one for one in listed if one.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"]


def counts(
    constraint: Object,
    pod: Object,
    nodes: Iterable[tuple[Mapping[str, str], Iterable[Object]]],
) -> dict[str, int]:
    """Matching pods by the value of the constraint's topology key, over (labels, pods) of the eligible nodes."""
    key = constraint["topologyKey"]
    namespace = pod["metadata"].get("namespace", "")
    found: dict[str, int] = {}
    for labels, pods in nodes:
        if key not in labels:
            continue
        domain = labels[key]
        found[domain] = found.get(domain, 0) + sum(
            1
            for other in pods
            if other["metadata"].get("namespace", "") == namespace
            and not other["metadata"].get("deletionTimestamp")
            and selects(constraint.get("labelSelector"), other["metadata"].get("labels") or {})
        )
    return found


def allows(constraint: Object, pod: Object, labels: Mapping[str, str], found: Mapping[str, int]) -> bool:
    """Whether putting `pod` on a node with `labels` keeps the skew within maxSkew."""
    key = constraint["topologyKey"]
    if key not in labels:
        return False
    least = min(found.values(), default=0)
    if len(found) < (constraint.get("minDomains") or 1):
        least = 0
    own = 1 if selects(constraint.get("labelSelector"), pod["metadata"].get("labels") or {}) else 0
    return bool(found.get(labels[key], 0) + own - least <= constraint["maxSkew"])
