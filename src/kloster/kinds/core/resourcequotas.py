"""ResourceQuotas: how much a namespace may use in all.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import lifecycle, quantity
from kloster.kinds.strategy import Strategy


def _default(quota: Object) -> None:
    status = quota.get("status") or {}
    for resources in ((quota.get("spec") or {}).get("hard"), status.get("hard"), status.get("used")):
        quantity.round_up_milli(resources)


def _cells(quota: Object, now: float) -> list[Any]:
    status = quota.get("status") or {}
    used, hard = status.get("used") or {}, status.get("hard") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        listed = limits if name.startswith("limits.") else requests
        listed.append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    return [quota["metadata"]["name"], ", ".join(requests), ", ".join(limits), table.age(quota, now)]


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    status=True,
    returns_deleted=True,
    cells=_cells,
)
