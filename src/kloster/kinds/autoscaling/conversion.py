"""autoscaling/v1 ↔ v2: what v1 cannot say travels in annotations, as JSON in the shape of v1's types.

v1 knows one metric, the CPU utilization; all others, the current metrics, the conditions and the behavior stand in
``autoscaling.alpha.kubernetes.io/...``. Source: k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import defaulting

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _STATUSES = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
_CONDITIONS, _BEHAVIOR = f"{_PREFIX}conditions", f"{_PREFIX}behavior"
_ROUND_TRIP = (
    _METRICS,
    _STATUSES,
    _CONDITIONS,
    _BEHAVIOR,
    f"{_PREFIX}scale-down-tolerance",
    f"{_PREFIX}scale-up-tolerance",
)
_SOURCES = ("object", "pods", "resource", "containerResource", "external")
_IN_GO = {
    "scaleUp": "ScaleUp",
    "scaleDown": "ScaleDown",
    "stabilizationWindowSeconds": "StabilizationWindowSeconds",
    "selectPolicy": "SelectPolicy",
    "policies": "Policies",
    "tolerance": "Tolerance",
    "type": "Type",
    "value": "Value",
    "periodSeconds": "PeriodSeconds",
}
_FROM_GO = {go: name for name, go in _IN_GO.items()}


def to_v1(autoscaler: Object) -> Object:
    new = copy.deepcopy(autoscaler)
    new["apiVersion"] = "autoscaling/v1"
    spec, status = new.get("spec") or {}, new.get("status") or {}
    metrics, current = spec.pop("metrics", None) or [], status.pop("currentMetrics", None) or []
    behavior, conditions = spec.pop("behavior", None), status.pop("conditions", None) or []
    annotations = _without(new["metadata"])
    percentages = [metric["resource"]["target"]["averageUtilization"] for metric in metrics if _is_cpu(metric)]
    if percentages:
        spec["targetCPUUtilizationPercentage"] = percentages[0]
    for metric in current:
        resource = metric.get("resource") or {}
        used = (resource.get("current") or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and used is not None:
            status["currentCPUUtilizationPercentage"] = used
    others = [_metric_to_v1(metric) for metric in metrics if not _is_cpu(metric)]
    _annotate(annotations, _METRICS, others)
    _annotate(annotations, _STATUSES, [_status_to_v1(metric) for metric in current])
    if behavior is not None:
        _annotate(annotations, _BEHAVIOR, _behavior_to_go(behavior))
    _annotate(annotations, _CONDITIONS, [_condition(item) for item in conditions])
    _set_annotations(new["metadata"], annotations)
    return new


def from_v1(autoscaler: Object) -> Object:
    new = copy.deepcopy(autoscaler)
    new["apiVersion"] = "autoscaling/v2"
    spec, status = defaulting.struct(new, "spec"), new.get("status") or {}
    annotations = new["metadata"].get("annotations") or {}
    metrics: list[Object] = []
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    used = status.pop("currentCPUUtilizationPercentage", None)
    for metric in _read(annotations, _METRICS, list) or []:
        metrics.append(_metric_from_v1(metric))
    if percentage is not None:
        metrics.append(_cpu(percentage))
    spec["metrics"] = metrics or [_cpu(80)]
    if behavior := _read(annotations, _BEHAVIOR, dict):
        spec["behavior"] = _rename(behavior, _FROM_GO)
    if used is not None:
        resource = {"name": "cpu", "current": {"averageUtilization": used}}
        status["currentMetrics"] = [{"type": "Resource", "resource": resource}]
    current = _read(annotations, _STATUSES, list)
    if current is not None:
        status["currentMetrics"] = [_status_from_v1(metric) for metric in current]
    if (conditions := _read(annotations, _CONDITIONS, list)) is not None:
        status["conditions"] = conditions
    if status:
        new["status"] = status
    _set_annotations(new["metadata"], _without(new["metadata"]))
    return new


def _cpu(percentage: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percentage}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _is_cpu(metric: Object) -> bool:
    resource = metric.get("resource") or {}
    percentage = (resource.get("target") or {}).get("averageUtilization")
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and percentage is not None


def _without(metadata: Object) -> dict[str, str]:
    return {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _ROUND_TRIP}


def _set_annotations(metadata: Object, annotations: dict[str, str]) -> None:
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)


def _annotate(annotations: dict[str, str], name: str, value: Any) -> None:
    if value:
        annotations[name] = json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _read(annotations: dict[str, str], name: str, kind: type) -> Any:
    """Malformed annotations are ignored."""
    try:
        value = json.loads(annotations[name])
    except (KeyError, ValueError):
        return None
    return value if isinstance(value, kind) else None


def _condition(item: Object) -> Object:
    order = ("type", "status", "lastTransitionTime", "reason", "message")
    return {name: item.get(name) for name in order if item.get(name) or name == "lastTransitionTime"}


def _present(**values: Any) -> Object:
    return {name: value for name, value in values.items() if value is not None}


def _metric_to_v1(metric: Object) -> Object:
    sources = {name: _source_to_v1(name, metric[name]) for name in _SOURCES if metric.get(name)}
    return {"type": metric.get("type", ""), **sources}


def _source_to_v1(name: str, source: Object) -> Object:
    metric, target = source.get("metric") or {}, source.get("target") or {}
    title, chosen = metric.get("name", ""), metric.get("selector")
    value, average = target.get("value"), target.get("averageValue")
    if name == "external":
        return _present(metricName=title, metricSelector=chosen, targetValue=value, targetAverageValue=average)
    if name == "object":
        described = source.get("describedObject") or {}
        return _present(
            target=described, metricName=title, targetValue=value or "0", selector=chosen, averageValue=average
        )
    if name == "pods":
        return _present(metricName=title, targetAverageValue=average or "0", selector=chosen)
    return _present(
        name=source.get("name", ""),
        targetAverageUtilization=target.get("averageUtilization"),
        targetAverageValue=average,
        container=source.get("container"),
    )


def _metric_from_v1(metric: Object) -> Object:
    sources = {name: _source_from_v1(name, metric[name]) for name in _SOURCES if metric.get(name)}
    return {"type": metric.get("type", ""), **sources}


def _source_from_v1(name: str, source: Object) -> Object:
    identifier = _present(name=source.get("metricName", ""), selector=source.get("selector"))
    average = source.get("targetAverageValue")
    if name == "external":
        identifier = _present(name=source.get("metricName", ""), selector=source.get("metricSelector"))
        value = source.get("targetValue")
        kind = "AverageValue" if value is None else "Value"
        return {"metric": identifier, "target": _present(type=kind, value=value, averageValue=average)}
    if name == "object":
        average = source.get("averageValue")
        kind = "Value" if average is None else "AverageValue"
        target = _present(type=kind, value=source.get("targetValue", "0"), averageValue=average)
        return {"describedObject": source.get("target") or {}, "target": target, "metric": identifier}
    if name == "pods":
        return {"metric": identifier, "target": {"type": "AverageValue", "averageValue": average or "0"}}
    percentage = source.get("targetAverageUtilization")
    kind = "AverageValue" if percentage is None else "Utilization"
    target = _present(type=kind, averageValue=average, averageUtilization=percentage)
    return _present(name=source.get("name", ""), target=target, container=source.get("container"))


def _status_to_v1(metric: Object) -> Object:
    sources = {name: _current_to_v1(name, metric[name]) for name in _SOURCES if metric.get(name)}
    return {"type": metric.get("type", ""), **sources}


def _current_to_v1(name: str, source: Object) -> Object:
    metric, current = source.get("metric") or {}, source.get("current") or {}
    title, chosen = metric.get("name", ""), metric.get("selector")
    value, average = current.get("value"), current.get("averageValue")
    if name == "external":
        return _present(metricName=title, metricSelector=chosen, currentValue=value or "0", currentAverageValue=average)
    if name == "object":
        described = source.get("describedObject") or {}
        return _present(
            target=described, metricName=title, currentValue=value or "0", selector=chosen, averageValue=average
        )
    if name == "pods":
        return _present(metricName=title, currentAverageValue=average or "0", selector=chosen)
    return _present(
        name=source.get("name", ""),
        currentAverageUtilization=current.get("averageUtilization"),
        currentAverageValue=average or "0",
        container=source.get("container"),
    )


def _status_from_v1(metric: Object) -> Object:
    sources = {name: _current_from_v1(name, metric[name]) for name in _SOURCES if metric.get(name)}
    return {"type": metric.get("type", ""), **sources}


def _current_from_v1(name: str, source: Object) -> Object:
    chosen = source.get("metricSelector" if name == "external" else "selector")
    identifier = _present(name=source.get("metricName", ""), selector=chosen)
    value, average = source.get("currentValue", "0"), source.get("currentAverageValue")
    if name == "external":
        return {"metric": identifier, "current": _present(value=value, averageValue=average)}
    if name == "object":
        current = _present(value=value, averageValue=source.get("averageValue"))
        return {"metric": identifier, "current": current, "describedObject": source.get("target") or {}}
    if name == "pods":
        return {"metric": identifier, "current": {"averageValue": average or "0"}}
    current = _present(averageValue=average or "0", averageUtilization=source.get("currentAverageUtilization"))
    return _present(name=source.get("name", ""), current=current, container=source.get("container"))


def _behavior_to_go(behavior: Object) -> Object:
    """The annotation holds upstream's internal type, whose fields have no JSON names."""
    return {go: _rules_to_go(behavior.get(name)) for name, go in (("scaleUp", "ScaleUp"), ("scaleDown", "ScaleDown"))}


def _rules_to_go(rules: Object | None) -> Object | None:
    if rules is None:
        return None
    policies = [
        {"Type": item.get("type", ""), "Value": item.get("value", 0), "PeriodSeconds": item.get("periodSeconds", 0)}
        for item in rules.get("policies") or ()
    ]
    return {
        "StabilizationWindowSeconds": rules.get("stabilizationWindowSeconds"),
        "SelectPolicy": rules.get("selectPolicy"),
        "Policies": policies or None,
        "Tolerance": rules.get("tolerance"),
    }


def _rename(value: Any, table: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {table.get(key, key): _rename(item, table) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_rename(item, table) for item in value]
    return value
