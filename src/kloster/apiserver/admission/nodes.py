"""TaintNodesByCondition: a new node takes no pods until its conditions have been looked at."""

from __future__ import annotations

from kloster.apiserver.admission.api import CREATE, Attempt, Plugin

_NOT_READY = "node.kubernetes.io/not-ready"


def _mutate(attempt: Attempt) -> None:
    spec = attempt.item.setdefault("spec", {})
    taints = spec.get("taints") or []
    if not any((taint.get("key"), taint.get("effect")) == (_NOT_READY, "NoSchedule") for taint in taints):
        spec["taints"] = [*taints, {"key": _NOT_READY, "effect": "NoSchedule"}]


PLUGIN = Plugin(
    name="TaintNodesByCondition", operations=frozenset({CREATE}), resources=frozenset({"/nodes"}), mutate=_mutate
)
