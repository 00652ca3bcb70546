"""Deployments: replicated pods with rolling updates.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, metadata, podtemplate, selector
from kloster.kinds.apps import workloads
from kloster.kinds.strategy import Strategy


def _default(deployment: Object) -> None:
    spec = workloads.default_template(deployment)
    defaulting.absent(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = defaulting.struct(spec, "strategy")
    defaulting.empty(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = defaulting.struct(strategy, "rollingUpdate")
        defaulting.absent(rolling, maxUnavailable="25%", maxSurge="25%")


def _prepare_create(deployment: Object) -> None:
    lifecycle.clear_status(deployment)
    lifecycle.first_generation(deployment)


def _prepare_update(new: Object, old: Object) -> None:
    """Generation counts changes of annotations as well: the controller copies them to its replica sets."""
    lifecycle.keep_status(new, old)
    annotations = (each["metadata"].get("annotations") for each in (new, old))
    if not metadata.same(new.get("spec"), old.get("spec")) or not metadata.same(*annotations):
        lifecycle.next_generation(new, old)


def _prepare_status(new: Object, old: Object) -> None:
    lifecycle.keep_spec(new, old)
    lifecycle.restore(new["metadata"], old["metadata"], "labels")


def _validate(deployment: Object) -> list[FieldError]:
    spec = deployment.get("spec") or {}
    found = checks.nonnegative("spec.replicas", spec.get("replicas"))
    found.extend(workloads.validate_selector(spec, "deployment"))
    if spec.get("selector") is not None and not workloads.is_usable(spec["selector"]):
        found.append(workloads.invalid_selector(spec["selector"], "invalid label selector"))
    else:
        found.extend(workloads.validate_match(spec))
        found.extend(podtemplate.validate_pod_template(spec.get("template") or {}, "spec.template"))
        found.extend(workloads.validate_long_running(spec, "ReplicaSet"))
    found.extend(_strategy("spec.strategy", spec.get("strategy") or {}))
    found.extend(checks.nonnegative_fields("spec", spec, "minReadySeconds", "revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    found.extend(checks.nonnegative("spec.progressDeadlineSeconds", deadline))
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        text = "must be greater than minReadySeconds"
        found.append(errors.invalid_value("spec.progressDeadlineSeconds", deadline, text))
    return found


def _strategy(path: str, strategy: Object) -> list[FieldError]:
    kind, rolling = checks.text(strategy.get("type")), strategy.get("rollingUpdate")
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [errors.forbidden_field(f"{path}.rollingUpdate", text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": workloads.shown_rolling(rolling)}
        return [errors.not_supported(path, shown, ["Recreate", "RollingUpdate"])]
    return _rolling(f"{path}.rollingUpdate", rolling or {})


def _rolling(path: str, rolling: Object) -> list[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    found = checks.int_or_percent(f"{path}.maxUnavailable", unavailable)
    found.extend(checks.int_or_percent(f"{path}.maxSurge", surge))
    if checks.amount(unavailable) == 0 and checks.amount(surge) == 0:
        text = "may not be 0 when `maxSurge` is 0"
        found.append(errors.invalid_value(f"{path}.maxUnavailable", unavailable, text))
    return [*found, *checks.at_most_all(f"{path}.maxUnavailable", unavailable)]


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return checks.fixed("spec.selector", new, old)


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    status = new.get("status") or {}
    numbers = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
    found = checks.nonnegative_fields("status", status, "observedGeneration", *numbers)
    found.extend(checks.nonnegative_fields("status", status, "terminatingReplicas", "collisionCount"))
    found.extend(workloads.validate_counts(status, "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"))
    found.extend(workloads.validate_available(status, "readyReplicas"))
    collisions = ((each.get("status") or {}).get("collisionCount") for each in (new, old))
    return [*found, *checks.decremented("status.collisionCount", *collisions)]


def _cells(deployment: Object, now: float) -> list[Any]:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    chosen = spec.get("selector")
    shown = selector.text(chosen)
    return [
        deployment["metadata"]["name"],
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        table.age(deployment, now),
        *table.template_containers(spec),
        {"<none>": "", "<error>": "<invalid>"}.get(shown, shown),
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    cells=_cells,
    warn=workloads.warn,
)
