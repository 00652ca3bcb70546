"""ReplicaSets: a number of equal pods.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, podtemplate, selector
from kloster.kinds.apps import workloads
from kloster.kinds.strategy import Strategy


def _default(replicas: Object) -> None:
    defaulting.absent(workloads.default_template(replicas), replicas=1)


def _validate(replicas: Object) -> list[FieldError]:
    spec = replicas.get("spec") or {}
    found = checks.nonnegative_fields("spec", spec, "replicas", "minReadySeconds")
    found.extend(workloads.validate_selector(spec, "deployment"))  # upstream's word
    if spec.get("selector") is not None and not workloads.is_usable(spec["selector"]):
        found.append(workloads.invalid_selector(spec["selector"], "invalid label selector"))
        return found
    found.extend(workloads.validate_match(spec))
    found.extend(podtemplate.validate_pod_template(spec.get("template") or {}, "spec.template"))
    return [*found, *workloads.validate_long_running(spec, "ReplicaSet")]


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return checks.fixed("spec.selector", new, old)


def _validate_status(new: Object, _old: Object) -> list[FieldError]:
    status = new.get("status") or {}
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    found = checks.nonnegative_fields("status", status, "replicas", *parts, "observedGeneration", "terminatingReplicas")
    found.extend(workloads.validate_counts(status, "replicas", *parts))
    return [*found, *workloads.validate_available(status, "readyReplicas")]


def _cells(replicas: Object, now: float) -> list[Any]:
    spec, status = replicas.get("spec") or {}, replicas.get("status") or {}
    return [
        replicas["metadata"]["name"],
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        table.age(replicas, now),
        *table.template_containers(spec),
        selector.text(spec.get("selector")),
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    generation=True,
    status=True,
    cells=_cells,
    warn=workloads.warn,
)
