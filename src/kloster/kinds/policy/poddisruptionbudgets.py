"""PodDisruptionBudgets: how many pods of an application may be evicted at the same time.

Source: https://kubernetes.io/docs/tasks/run-application/configure-pdb/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, conditions, lifecycle, selector
from kloster.kinds.strategy import Strategy


def _validate(budget: Object) -> list[FieldError]:
    spec = budget.get("spec") or {}
    found = []
    bounds = [name for name in ("minAvailable", "maxUnavailable") if spec.get(name) is not None]
    if len(bounds) == 2:
        shown = {
            "MinAvailable": spec["minAvailable"],
            "Selector": spec.get("selector"),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        found.append(errors.invalid_value("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for name in bounds:
        found.extend(checks.int_or_percent(f"spec.{name}", spec[name]))
        found.extend(checks.at_most_all(f"spec.{name}", spec[name]))
    found.extend(selector.validate(spec.get("selector"), "spec.selector"))
    if (policy := spec.get("unhealthyPodEvictionPolicy")) is not None:
        found.extend(checks.supported("spec.unhealthyPodEvictionPolicy", policy, ["AlwaysAllow", "IfHealthyBudget"]))
    return found


def _validate_status(new: Object, _old: Object) -> list[FieldError]:
    status = new.get("status") or {}
    numbers = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    return [
        *conditions.validate("status.conditions", status.get("conditions")),
        *checks.nonnegative_fields("status", status, *numbers),
    ]


def _cells(budget: Object, now: float) -> list[Any]:
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    bounds = ("N/A" if spec.get(name) is None else str(spec[name]) for name in ("minAvailable", "maxUnavailable"))
    return [budget["metadata"]["name"], *bounds, status.get("disruptionsAllowed") or 0, table.age(budget, now)]


STRATEGY = Strategy(
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_status=_validate_status,
    name="any",
    generation=True,
    status=True,
    unconditional_update=False,
    cells=_cells,
)
