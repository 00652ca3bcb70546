"""InterPodAffinity: required pod affinity and anti-affinity, in both directions."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.placement.affinity import required_terms, term_selects
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def concerns(cycle: Cycle) -> bool:
    wants = any(required_terms(cycle.pod, field) for field in ("podAffinity", "podAntiAffinity"))
    return wants or bool(cycle.snapshot.repelling)


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    if any(not _together(cycle, info, term) for term in required_terms(cycle.pod, "podAffinity")):
        return "node(s) didn't match pod affinity rules"
    if any(_present(cycle, info, term, cycle.pod) for term in required_terms(cycle.pod, "podAntiAffinity")):
        return "node(s) didn't match pod anti-affinity rules"
    if _repelled(cycle, info):
        return "node(s) didn't satisfy existing pods anti-affinity rules"
    return None


def _domain(cycle: Cycle, info: NodeInfo, key: str) -> list[NodeInfo]:
    """The nodes with the same value of the topology key."""
    value = info.labels.get(key)
    return [] if value is None else [one for one in cycle.snapshot.ready() if one.labels.get(key) == value]


def _present(cycle: Cycle, info: NodeInfo, term: Object, owner: Object) -> bool:
    """Whether the domain of `info` has a pod that the term means."""
    return any(
        term_selects(term, owner, other, cycle.snapshot.namespaces)
        for node in _domain(cycle, info, term["topologyKey"])
        for other in node.pods.values()
    )


def _together(cycle: Cycle, info: NodeInfo, term: Object) -> bool:
    if term["topologyKey"] not in info.labels:
        return False
    if _present(cycle, info, term, cycle.pod):
        return True
    # The first pod of a group that wants to be with itself may start anywhere.
    if not term_selects(term, cycle.pod, cycle.pod, cycle.snapshot.namespaces):
        return False
    return not any(
        term_selects(term, cycle.pod, other, cycle.snapshot.namespaces)
        for node in cycle.snapshot.ready()
        for other in node.pods.values()
    )


def _repelled(cycle: Cycle, info: NodeInfo) -> bool:
    """Whether a pod that is already there keeps this one away."""
    for uid, (other, node) in cycle.snapshot.repelling.items():
        if node.node is None or (node.name == info.name and uid not in info.pods):  # taken away in thought
            continue
        for term in required_terms(other, "podAntiAffinity"):
            key = term["topologyKey"]
            same = key in info.labels and node.labels.get(key) == info.labels[key]
            if same and term_selects(term, other, cycle.pod, cycle.snapshot.namespaces):
                return True
    return False
