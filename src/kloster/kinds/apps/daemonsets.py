"""DaemonSets: one pod on every node.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, metadata, podtemplate, selector
from kloster.kinds.apps import workloads
from kloster.kinds.strategy import Strategy

_GENERATION = "deprecated.daemonset.template.generation"
"""The annotation that holds what was spec.templateGeneration before apps/v1."""


def _default(daemons: Object) -> None:
    spec = workloads.default_template(daemons)
    strategy = defaulting.struct(spec, "updateStrategy")
    defaulting.empty(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        defaulting.absent(defaulting.struct(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)
    defaulting.absent(spec, revisionHistoryLimit=10)
    _set_template_generation(daemons, _template_generation(daemons))  # upstream decodes it, and encodes it again


def _template_generation(daemons: Object) -> int:
    annotation = (daemons["metadata"].get("annotations") or {}).get(_GENERATION, "0")
    return int(annotation) if annotation.lstrip("-").isdigit() else 0


def _set_template_generation(daemons: Object, value: int) -> None:
    defaulting.struct(daemons["metadata"], "annotations")[_GENERATION] = str(value)


def _prepare_create(daemons: Object) -> None:
    lifecycle.clear_status(daemons)
    _set_template_generation(daemons, max(1, _template_generation(daemons)))


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_status(new, old)
    generation = _template_generation(old)
    templates = ((each.get("spec") or {}).get("template") for each in (new, old))
    _set_template_generation(new, generation if metadata.same(*templates) else generation + 1)


def _validate(daemons: Object) -> list[FieldError]:
    return _validate_spec(daemons.get("spec") or {}) if lifecycle.is_new(daemons) else []


def _validate_spec(spec: Object) -> list[FieldError]:
    chosen = spec.get("selector")
    found = selector.validate(chosen, "spec.selector")
    if chosen is None or (not selector.is_empty(chosen) and workloads.is_usable(chosen)):
        labels = workloads.template_labels(spec)
        # An absent selector selects nothing.
        if chosen is None or not selector.matches(chosen, labels):
            path = "spec.template.metadata.labels"
            found.append(errors.invalid_value(path, workloads.shown_labels(spec), workloads.UNMATCHED))
    if chosen is not None and selector.is_empty(chosen):
        found.append(
            errors.invalid_value(
                "spec.selector", workloads.shown_selector(chosen), "empty selector is invalid for daemonset"
            )
        )
    found.extend(podtemplate.validate_pod_template(spec.get("template") or {}, "spec.template"))
    found.extend(workloads.validate_long_running(spec, "DaemonSet"))
    found.extend(checks.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds")))
    found.extend(_strategy("spec.updateStrategy", spec.get("updateStrategy") or {}))
    return [*found, *checks.nonnegative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))]


def _strategy(path: str, strategy: Object) -> list[FieldError]:
    kind, rolling = checks.text(strategy.get("type")), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": workloads.shown_rolling(rolling)}
        return [errors.not_supported(path, shown, ["RollingUpdate", "OnDelete"])]
    path = f"{path}.rollingUpdate"
    if rolling is None:
        return [errors.required(path)]
    bounds = {name: rolling.get(name) for name in ("maxUnavailable", "maxSurge")}
    found = [each for name, value in bounds.items() for each in checks.int_or_percent(f"{path}.{name}", value)]
    found.extend(each for name, value in bounds.items() for each in checks.at_most_all(f"{path}.{name}", value))
    unavailable, surge = (checks.amount(value) for value in bounds.values())
    if unavailable and surge:
        text = "may not be set when maxUnavailable is non-zero"
        found.append(errors.invalid_value(f"{path}.maxSurge", rolling.get("maxSurge"), text))
    elif not unavailable and not surge:
        found.append(errors.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    # Upstream reports what has changed before what is wrong.
    return [*checks.fixed("spec.selector", new, old), *_validate_spec(new.get("spec") or {})]


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    numbers = (
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    )
    collisions = ((each.get("status") or {}).get("collisionCount") for each in (new, old))
    return [
        *checks.nonnegative_fields("status", new.get("status") or {}, *numbers),
        *checks.decremented("status.collisionCount", *collisions),
    ]


def _cells(daemons: Object, now: float) -> list[Any]:
    spec, status = daemons.get("spec") or {}, daemons.get("status") or {}
    nodes = ((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")
    numbers = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [
        daemons["metadata"]["name"],
        *(status.get(name) or 0 for name in numbers),
        table.labels(nodes),
        table.age(daemons, now),
        *table.template_containers(spec),
        selector.text(spec.get("selector")),
    ]


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    changed = old is None or new["spec"].get("template") != old["spec"].get("template")
    return workloads.warn_of_template(new, None, minor) if changed else iter(())


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    generation=True,
    status=True,
    cells=_cells,
    warn=_warn,
)
