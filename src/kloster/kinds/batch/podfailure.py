"""The pod failure policy of a job: which failures count, end the job, or are ignored.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
"""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names
from kloster.kinds.internal import Pointer

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_MOST_RULES = 20
_MOST_PATTERNS = 20
_MOST_VALUES = 255
SHAPE = {
    "rules": [
        {
            "action": "",
            "onExitCodes": Pointer({"containerName": None, "operator": "", "values": []}),
            "onPodConditions": [{"type": "", "status": ""}],
        }
    ]
}
"""The policy as errors show it."""


def _choices(values: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def _chosen(path: str, value: str, valid: tuple[str, ...]) -> list[FieldError]:
    return checks.supported(path, value, valid) if value else [errors.required(path, _choices(valid))]


def validate(path: str, spec: Object) -> list[FieldError]:
    """`spec` is the job's."""
    rules = spec["podFailurePolicy"].get("rules") or []
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {item.get("name") for name in ("containers", "initContainers") for item in pod.get(name) or ()}
    found = []
    if len(rules) > _MOST_RULES:
        found.append(errors.too_many(f"{path}.rules", len(rules), _MOST_RULES))
    per_index = spec.get("backoffLimitPerIndex") is not None
    for index, rule in enumerate(rules):
        found.extend(_rule(f"{path}.rules[{index}]", rule, containers, per_index))
    return found


def _rule(path: str, rule: Object, containers: set[str | None], per_index: bool) -> list[FieldError]:
    action, codes, patterns = checks.text(rule.get("action")), rule.get("onExitCodes"), rule.get("onPodConditions")
    found = _chosen(f"{path}.action", action, _ACTIONS)
    if action == "FailIndex" and not per_index:
        text = "requires the backoffLimitPerIndex to be set"
        found.append(errors.invalid_value(f"{path}.action", action, text))
    if codes is not None:
        found.extend(_exit_codes(f"{path}.onExitCodes", codes, containers))
    found.extend(_patterns(f"{path}.onPodConditions", patterns or []))
    if codes is not None and patterns:
        found.append(checks.omitted(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is None and not patterns:
        found.append(checks.omitted(path, "specifying one of OnExitCodes and OnPodConditions is required"))
    return found


def _patterns(path: str, patterns: list[Object]) -> list[FieldError]:
    found = []
    if len(patterns) > _MOST_PATTERNS:
        found.append(errors.too_many(path, len(patterns), _MOST_PATTERNS))
    for index, pattern in enumerate(patterns):
        kind, status = checks.text(pattern.get("type")), checks.text(pattern.get("status"))
        found.extend(checks.complaints(f"{path}[{index}].type", kind, names.qualified_name(kind)))
        found.extend(_chosen(f"{path}[{index}].status", status, _STATUSES))
    return found


def _exit_codes(path: str, codes: Object, containers: set[str | None]) -> list[FieldError]:
    operator, values, container = checks.text(codes.get("operator")), codes.get("values"), codes.get("containerName")
    found = _chosen(f"{path}.operator", operator, _OPERATORS)
    if container is not None and container not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        found.append(errors.invalid_value(f"{path}.containerName", container, text))
    if not values:
        found.append(errors.invalid_value(f"{path}.values", values or [], "at least one value is required"))
        return found
    if len(values) > _MOST_VALUES:
        found.append(errors.too_many(f"{path}.values", len(values), _MOST_VALUES))
    repeated = set(checks.repeated(values))
    for index, value in enumerate(values):
        at = f"{path}.values[{index}]"
        if operator == "In" and value == 0:
            found.append(errors.invalid_value(at, value, "must not be 0 for the In operator"))
        if index in repeated:
            found.append(errors.duplicate(at, value))
    if values != sorted(values):
        found.append(errors.invalid_value(f"{path}.values", values, "must be ordered"))
    return found
