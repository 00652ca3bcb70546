"""How fast an autoscaler may scale, up and down.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
"""

from __future__ import annotations

from kloster.apimachinery import Object, errors, quantity
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, defaulting

_LONGEST_WINDOW = 3600
_LONGEST_PERIOD = 1800
_POLICIES = ("Disabled", "Max", "Min")


def _percent() -> Object:
    return {"type": "Percent", "value": 100, "periodSeconds": 15}


def default(spec: Object) -> None:
    """Once there is a behavior, both directions are filled in. (Scaling down takes its window from the controller.)"""
    behavior = spec.get("behavior")
    if behavior is None:
        return
    up, down = defaulting.struct(behavior, "scaleUp"), defaulting.struct(behavior, "scaleDown")
    defaulting.absent(up, stabilizationWindowSeconds=0, selectPolicy="Max")
    defaulting.absent(up, policies=[{"type": "Pods", "value": 4, "periodSeconds": 15}, _percent()])
    defaulting.absent(down, selectPolicy="Max", policies=[_percent()])


def drop_tolerance(new: Object, old: Object | None) -> None:
    """The gate HPAConfigurableTolerance is off by default until 1.35: its field is only kept where it was in use."""
    before = ((old or {}).get("spec") or {}).get("behavior") or {}
    directions = ("scaleDown", "scaleUp")
    if any((before.get(name) or {}).get("tolerance") is not None for name in directions):
        return
    behavior = (new.get("spec") or {}).get("behavior") or {}
    for name in directions:
        (behavior.get(name) or {}).pop("tolerance", None)


def validate(path: str, behavior: Object | None) -> list[FieldError]:
    found = []
    for name in ("scaleUp", "scaleDown"):
        if (rules := (behavior or {}).get(name)) is not None:
            found.extend(_rules(f"{path}.{name}", rules))
    return found


def _rules(path: str, rules: Object) -> list[FieldError]:
    window, policy, policies = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy"), rules.get("policies")
    at = f"{path}.stabilizationWindowSeconds"
    found = []
    if window is not None and window < 0:
        found.append(errors.invalid_value(at, window, "must be greater than or equal to zero"))
    if window is not None and window > _LONGEST_WINDOW:
        found.append(errors.invalid_value(at, window, f"must be less than or equal to {_LONGEST_WINDOW}"))
    if policy is not None:
        found.extend(checks.supported(f"{path}.selectPolicy", policy, _POLICIES))
    if not policies:
        found.append(errors.required(f"{path}.policies", "must specify at least one Policy"))
    for index, item in enumerate(policies or ()):
        found.extend(_policy(f"{path}.policies[{index}]", item))
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.parse(str(tolerance)) < quantity.of(0):
        text = "must be greater than or equal to 0"
        found.append(errors.invalid_value(f"{path}.tolerance", str(tolerance), text))
    return found


def _policy(path: str, policy: Object) -> list[FieldError]:
    value, period = policy.get("value") or 0, policy.get("periodSeconds") or 0
    found = checks.supported(f"{path}.type", checks.text(policy.get("type")), ["Percent", "Pods"])
    if value <= 0:
        found.append(errors.invalid_value(f"{path}.value", value, "must be greater than zero"))
    if period <= 0:
        found.append(errors.invalid_value(f"{path}.periodSeconds", period, "must be greater than zero"))
    if period > _LONGEST_PERIOD:
        text = f"must be less than or equal to {_LONGEST_PERIOD}"
        found.append(errors.invalid_value(f"{path}.periodSeconds", period, text))
    return found
