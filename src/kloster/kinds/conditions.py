"""metav1.Condition: what newer kinds report in status.conditions.

Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names

_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_matches_reason = re.compile(_REASON).fullmatch
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'"
)
STATUSES = ("False", "True", "Unknown")


def validate(path: str, conditions: Sequence[Object] | None) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions or ()):
        kind = checks.text(condition.get("type"))
        if kind in seen:
            found.append(errors.duplicate(f"{path}[{index}].type", kind))
        seen.add(kind)
        found.extend(_validate_one(f"{path}[{index}]", condition))
    return found


def _validate_one(path: str, condition: Object) -> list[FieldError]:
    kind, status = checks.text(condition.get("type")), checks.text(condition.get("status"))
    found = checks.complaints(f"{path}.type", kind, names.qualified_name(kind))
    found.extend(checks.supported(f"{path}.status", status, STATUSES))
    if (generation := condition.get("observedGeneration") or 0) < 0:
        text = "must be greater than or equal to zero"
        found.append(errors.invalid_value(f"{path}.observedGeneration", generation, text))
    if not condition.get("lastTransitionTime"):
        found.append(errors.required(f"{path}.lastTransitionTime"))
    found.extend(reason(f"{path}.reason", checks.text(condition.get("reason"))))
    if len(checks.text(condition.get("message")).encode()) > 32 * 1024:
        found.append(errors.too_long(f"{path}.message", 32 * 1024))
    return found


def reason(path: str, value: str) -> list[FieldError]:
    if not value:
        return [errors.required(path)]
    found = []
    if not _matches_reason(value):
        examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
        found.append(errors.invalid_value(path, value, names.pattern(_REASON_TEXT, _REASON, *examples)))
    if len(value) > 1024:
        found.append(errors.too_long(path, 1024))
    return found


def is_true(conditions: Sequence[Object] | None, kind: str) -> bool:
    return any(item.get("type") == kind and item.get("status") == "True" for item in conditions or ())


def is_false(conditions: Sequence[Object] | None, kind: str) -> bool:
    return any(item.get("type") == kind and item.get("status") == "False" for item in conditions or ())
