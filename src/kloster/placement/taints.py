"""Taints and tolerations. Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object

SCHEDULING_EFFECTS = ("NoSchedule", "NoExecute")


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    if not toleration.get("key"):
        return False
    return bool(toleration.get("value", "") == taint.get("value", ""))


def first_untolerated(
    taints: Iterable[Object], tolerations: Iterable[Object], effects: Iterable[str] = SCHEDULING_EFFECTS
) -> Object | None:
    """The first taint with one of `effects` that no toleration covers."""
    accepted = list(tolerations)
    for taint in taints:
        if taint["effect"] in effects and not any(tolerates(one, taint) for one in accepted):
            return taint
    return None
