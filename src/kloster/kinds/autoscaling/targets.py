"""Targets of metrics: a value, an average per pod, or a percentage of what is requested."""

from __future__ import annotations

from kloster.apimachinery import Object, errors, quantity
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks

_TYPES = ("Utilization", "Value", "AverageValue")


def validate(path: str, target: Object) -> list[FieldError]:
    kind, utilization = checks.text(target.get("type")), target.get("averageUtilization")
    found = [] if kind else [errors.required(f"{path}.type", "must specify a metric target type")]
    if kind not in _TYPES:
        text = "must be either Utilization, Value, or AverageValue"
        found.append(errors.invalid_value(f"{path}.type", kind, text))
    for name in ("value", "averageValue"):
        amount = target.get(name)
        if amount is not None and not quantity.parse(str(amount)) > quantity.of(0):
            found.append(errors.invalid_value(f"{path}.{name}", str(amount), "must be positive"))
    if utilization is not None and utilization < 1:
        found.append(errors.invalid_value(f"{path}.averageUtilization", utilization, "must be greater than 0"))
    return found


def validate_resource(path: str, target: Object) -> list[FieldError]:
    """A resource's target is either an average or a percentage."""
    found = validate(path, target)
    given = [name for name in ("averageUtilization", "averageValue") if target.get(name) is not None]
    if not given:
        text = "must set either a target raw value or a target utilization"
        found.append(errors.required(f"{path}.averageUtilization", text))
    if len(given) == 2:
        text = "may not set both a target raw value and a target utilization"
        found.append(errors.forbidden_field(f"{path}.averageValue", text))
    return found
