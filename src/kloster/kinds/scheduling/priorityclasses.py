"""PriorityClasses: names for pod priorities.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, metadata
from kloster.kinds.strategy import Strategy

HIGHEST_OF_USERS = 1_000_000_000
_SYSTEM_PREFIX = "system-"
SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def _default(priority: Object) -> None:
    defaulting.absent(priority, preemptionPolicy="PreemptLowerPriority")


def _validate(priority: Object) -> list[FieldError]:
    if not lifecycle.is_new(priority):
        return []  # an update is only compared with what is stored
    found = []
    name, value = checks.text(priority["metadata"].get("name")), priority.get("value") or 0
    if name.startswith(_SYSTEM_PREFIX):
        if problem := _system_problem(name, value, bool(priority.get("globalDefault"))):
            reserved = f"priority class names with '{_SYSTEM_PREFIX}' prefix are reserved for system use only"
            found.append(errors.forbidden_field("metadata.name", f"{reserved}. error: {problem}"))
    elif value > HIGHEST_OF_USERS:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}"
        found.append(errors.forbidden_field("value", text))
    policy = priority.get("preemptionPolicy")
    if policy == "":
        found.append(errors.required("preemptionPolicy"))
    elif policy is not None:
        found.extend(checks.supported("preemptionPolicy", policy, ["PreemptLowerPriority", "Never"]))
    return found


def _system_problem(name: str, value: int, is_default: bool) -> str:
    if name not in SYSTEM:
        return f"{name} is not a known system priority class"
    if value != SYSTEM[name]:
        return f"value of {name} PriorityClass must be {SYSTEM[name]}"
    if is_default:
        return f"globalDefault of {name} PriorityClass must be false"
    return ""


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    found = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        found.append(errors.forbidden_field("value", "may not be changed in an update."))
    found.extend(metadata.immutable(new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy"))
    return found


def _cells(priority: Object, now: float) -> list[Any]:
    return [
        priority["metadata"]["name"],
        priority.get("value") or 0,
        bool(priority.get("globalDefault")),
        table.age(priority, now),
        checks.text(priority.get("preemptionPolicy")),
    ]


# Generation is 1 for ever: upstream sets it at creation and never counts.
STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.first_generation,
    validate=_validate,
    validate_update=_validate_update,
    cells=_cells,
    tables={("Name", "Value", "Global-Default", "Age"): lambda priority, now: _cells(priority, now)[:4]},
)
