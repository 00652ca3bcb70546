"""The metrics of a HorizontalPodAutoscaler: where each comes from and what it should be.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names, resources
from kloster.kinds.autoscaling import references, targets

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_ORDER = ("object", "external", "pods", "resource", "containerResource")


def validate(path: str, metrics: list[Object], least: int | None) -> list[FieldError]:
    found = []
    for index, metric in enumerate(metrics):
        found.extend(_metric(f"{path}[{index}]", metric))
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        found.append(errors.forbidden_field(path, text))
    return found


def _metric(path: str, metric: Object) -> list[FieldError]:
    kind = checks.text(metric.get("type"))
    given = [name for name in _ORDER if metric.get(name) is not None]
    expected = _SOURCES.get(kind, "")
    unknown = [] if expected else [errors.not_supported(f"{path}.type", kind, _SOURCES)]
    found = [] if kind else [errors.required(f"{path}.type", "must specify a metric source type")]
    found.extend(unknown)
    if given:
        found.extend(_CHECKS[given[0]](f"{path}.{given[0]}", metric[given[0]]))
    if expected and expected not in given:
        text = "must populate information for the given metric source"
        found.append(errors.required(f"{path}.{expected}", text))
    found.extend(unknown)
    if len(given) != 1:
        found.extend(
            errors.forbidden_field(f"{path}.{name}", "must populate the given metric source only")
            for name in given
            if name != expected
        )
    return found


def _identifier(path: str, source: Object) -> list[FieldError]:
    name = checks.text((source.get("metric") or {}).get("name"))
    if not name:
        return [errors.required(f"{path}.metric.name", "must specify a metric name")]
    return checks.complaints(f"{path}.metric.name", name, names.path_segment(name))


def _object(path: str, source: Object) -> list[FieldError]:
    target = source.get("target") or {}
    found = references.validate(f"{path}.describedObject", source.get("describedObject") or {}, core=True)
    found.extend(_identifier(path, source))
    found.extend(targets.validate(f"{path}.target", target))
    if target.get("value") is None and target.get("averageValue") is None:
        text = "must set either a target value or averageValue"
        found.append(errors.required(f"{path}.target.averageValue", text))
    return found


def _external(path: str, source: Object) -> list[FieldError]:
    target = source.get("target") or {}
    found = [*_identifier(path, source), *targets.validate(f"{path}.target", target)]
    given = [name for name in ("value", "averageValue") if target.get(name) is not None]
    if not given:
        text = "must set either a target value for metric or a per-pod target"
        found.append(errors.required(f"{path}.target.averageValue", text))
    if len(given) == 2:
        text = "may not set both a target value for metric and a per-pod target"
        found.append(errors.forbidden_field(f"{path}.target.value", text))
    return found


def _pods(path: str, source: Object) -> list[FieldError]:
    target = source.get("target") or {}
    found = [*_identifier(path, source), *targets.validate(f"{path}.target", target)]
    if target.get("averageValue") is None:
        text = "must specify a positive target averageValue"
        found.append(errors.required(f"{path}.target.averageValue", text))
    return found


def _resource(path: str, source: Object) -> list[FieldError]:
    found = [] if source.get("name") else [errors.required(f"{path}.name", "must specify a resource name")]
    return [*found, *targets.validate_resource(f"{path}.target", source.get("target") or {})]


def _container(path: str, source: Object) -> list[FieldError]:
    name, container = checks.text(source.get("name")), checks.text(source.get("container"))
    if name:
        found = resources.validate_container_name(name, f"{path}.name")
    else:
        found = [errors.required(f"{path}.name", "must specify a resource name")]
    if not container:
        found.append(errors.required(f"{path}.container", "must specify a container"))
    else:
        found.extend(checks.complaints(f"{path}.container", container, names.label(container)))
    return [*found, *targets.validate_resource(f"{path}.target", source.get("target") or {})]


_CHECKS = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container,
}


def text(specs: list[Object], statuses: list[Object]) -> str:
    """The Targets column: at most two metrics as ``current/target``."""
    if not specs:
        return "<none>"
    shown = [_shown(spec, statuses[index] if index < len(statuses) else {}) for index, spec in enumerate(specs)]
    listed = ", ".join(shown[:2])
    return f"{listed} + {len(shown) - 2} more..." if len(shown) > 2 else listed


def _shown(spec: Object, status: Object) -> str:
    source = _SOURCES.get(checks.text(spec.get("type")))
    if source is None:
        return "<unknown type>"
    given, reported = spec.get(source) or {}, status.get(source)
    target, current = given.get("target") or {}, (reported or {}).get("current") or {}
    average: Any = target.get("averageValue")
    if source in ("resource", "containerResource"):
        name = checks.text(given.get("name"))
        if average is not None:
            return f"{name}: {_amount(current, 'averageValue', reported)}/{average}"
        used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        return f"{name}: {'<unknown>' if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if source == "pods":
        return f"{_amount(current, 'averageValue', reported)}/{average}"
    if average is not None:
        now = current.get("averageValue")
        return f"{'<unknown>' if now is None else now}/{average} (avg)"
    return f"{_amount(current, 'value', reported)}/{target.get('value', 0)}"


def _amount(current: Object, name: str, reported: Object | None) -> str:
    return "<unknown>" if reported is None else str(current.get(name, 0))
