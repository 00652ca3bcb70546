"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable, unless they say more."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin

_SECONDS = 300
_KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def _covers(toleration: Object, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


def _mutate(attempt: Attempt) -> None:
    spec = attempt.item["spec"]
    present = spec.get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}
        for key in _KEYS
        if not any(_covers(toleration, key) for toleration in present)
    ]
    if added:
        spec["tolerations"] = [*present, *added]


PLUGIN = Plugin(
    name="DefaultTolerationSeconds",
    operations=frozenset({CREATE, UPDATE}),
    resources=frozenset({"/pods"}),
    mutate=_mutate,
)
