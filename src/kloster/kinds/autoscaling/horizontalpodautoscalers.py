"""HorizontalPodAutoscalers, stored as autoscaling/v2.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

import dataclasses
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle
from kloster.kinds.autoscaling import behavior, conversion, metrics, references
from kloster.kinds.strategy import Strategy


def _default(autoscaler: Object) -> None:
    spec = defaulting.struct(autoscaler, "spec")
    defaulting.absent(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior.default(spec)


def _prepare_create(autoscaler: Object) -> None:
    lifecycle.clear_status(autoscaler)
    behavior.drop_tolerance(autoscaler, None)


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_status(new, old)
    behavior.drop_tolerance(new, old)


def _validate(autoscaler: Object) -> list[FieldError]:
    spec = autoscaler.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    ref = spec.get("scaleTargetRef") or {}
    found = []
    if least is not None and least < 1:
        found.append(errors.invalid_value("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        found.append(errors.invalid_value("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        text = "must be greater than or equal to `minReplicas`"
        found.append(errors.invalid_value("spec.maxReplicas", most, text))
    core = ref.get("kind") == "ReplicationController"
    # What is stored may lack a group: an update is only checked when the reference changes (_validate_update).
    is_new = lifecycle.is_new(autoscaler)
    found.extend(references.validate("spec.scaleTargetRef", ref, core=core, version=is_new))
    found.extend(metrics.validate("spec.metrics", spec.get("metrics") or [], least))
    return [*found, *behavior.validate("spec.behavior", spec.get("behavior"))]


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    ref, before = ((each.get("spec") or {}).get("scaleTargetRef") or {} for each in (new, old))
    if all(ref.get(name) == before.get(name) for name in ("apiVersion", "kind")):
        return []
    core = ref.get("kind") == "ReplicationController"
    checked = references.validate("spec.scaleTargetRef", ref, core=core)
    return [found for found in checked if found.field.endswith(".apiVersion")]


def _validate_status(new: Object, _old: Object) -> list[FieldError]:
    return checks.nonnegative_fields("status", new.get("status") or {}, "currentReplicas", "desiredReplicas")


def _cells(autoscaler: Object, now: float) -> list[Any]:
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    ref, least = spec.get("scaleTargetRef") or {}, spec.get("minReplicas")
    return [
        autoscaler["metadata"]["name"],
        f"{checks.text(ref.get('kind'))}/{checks.text(ref.get('name'))}",
        metrics.text(spec.get("metrics") or [], status.get("currentMetrics") or []),
        "<unset>" if least is None else str(least),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        table.age(autoscaler, now),
    ]


# No generation: upstream never counts the changes of an autoscaler.
STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    cells=_cells,
    convert={
        ("v1", "v2"): conversion.from_v1,
        ("v2", "v1"): conversion.to_v1,
    },
)
# Since then a tolerance is kept without having been in use before.
CHANGED = {
    "1.35": dataclasses.replace(
        STRATEGY,
        prepare_create=lifecycle.clear_status,
        prepare_update=lifecycle.keep_status,
    )
}
