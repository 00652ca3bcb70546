"""What the kinds of apps share: the selector that has to match the template, and rolling updates.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/
"""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, defaulting, lifecycle, podtemplate, selector
from kloster.kinds.podspec import warnings

UNMATCHED = "`selector` does not match template `labels`"


def default_template(workload: Object) -> Object:
    """Defaults of spec.template; returns spec."""
    spec = defaulting.struct(workload, "spec")
    podtemplate.default_pod_template(defaulting.struct(spec, "template"))
    return spec


def validate_selector(spec: Object, noun: str) -> list[FieldError]:
    """A selector is required and selects something."""
    chosen = spec.get("selector")
    if chosen is None:
        return [errors.required("spec.selector")]
    found = selector.validate(chosen, "spec.selector")
    if selector.is_empty(chosen):
        found.append(invalid_selector(chosen, f"empty selector is invalid for {noun}"))
    return found


def validate_match(spec: Object) -> list[FieldError]:
    """The template's labels must be those that are selected: nothing without a selector, everything by an empty one."""
    chosen, labels = spec.get("selector"), template_labels(spec)
    if chosen is not None and (not is_usable(chosen) or selector.matches(chosen, labels)):
        return []
    return [errors.invalid_value("spec.template.metadata.labels", shown_labels(spec), UNMATCHED)]


def shown_labels(spec: Object) -> dict[str, str] | None:
    """The template's labels as errors show them: null if there are none, which empty ones are not."""
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    return None if given is None else template_labels(spec)


def shown_rolling(rolling: Object | None) -> Object | None:
    """A rolling update as upstream's internal type is shown."""
    if rolling is None:
        return None
    return {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}


def shown_selector(chosen: Object) -> Object:
    """A selector as errors show it: maps are sorted."""
    labels = chosen.get("matchLabels")
    return {**chosen, "matchLabels": dict(sorted(labels.items()))} if labels else chosen


def invalid_selector(chosen: Object, detail: str) -> FieldError:
    return errors.invalid_value("spec.selector", shown_selector(chosen), detail)


def template_labels(spec: Object) -> dict[str, str]:
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    return dict(sorted(labels.items()))


def is_usable(chosen: Object) -> bool:
    """Whether the selector can be made into a query at all (LabelSelectorAsSelector)."""
    return not selector.validate(chosen, "")


def validate_long_running(spec: Object, noun: str) -> list[FieldError]:
    """Pods of these kinds are restarted for ever."""
    pod = (spec.get("template") or {}).get("spec") or {}
    path = "spec.template.spec"
    found = checks.supported(f"{path}.restartPolicy", checks.text(pod.get("restartPolicy")), ["Always"])
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {noun} is not Supported"
        found.append(errors.forbidden_field(f"{path}.activeDeadlineSeconds", text))
    return found


def validate_counts(status: Object, total: str, *parts: str) -> list[FieldError]:
    """No part exceeds the total of replicas."""
    whole = status.get(total) or 0
    return [
        errors.invalid_value(f"status.{name}", status.get(name) or 0, f"cannot be greater than status.{total}")
        for name in parts
        if (status.get(name) or 0) > whole
    ]


def validate_available(status: Object, text: str) -> list[FieldError]:
    """What is available is ready."""
    available = status.get("availableReplicas") or 0
    if available <= (status.get("readyReplicas") or 0):
        return []
    return [errors.invalid_value("status.availableReplicas", available, f"cannot be greater than {text}")]


def warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    """What a new workload and a new template are warned of."""
    if old is None:
        yield from warnings.of_name(new)
    yield from warn_of_template(new, old, minor)


def warn_of_template(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    if lifecycle.is_changed(new, old):
        yield from warnings.of_template(new["spec"].get("template"), "spec.template", minor)
