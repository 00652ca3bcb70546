"""ValidatingAdmissionPolicyBindings: where a policy applies, and what a violation leads to."""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks
from kloster.kinds.admissionregistration import bindings
from kloster.kinds.strategy import Strategy

_ACTIONS = ("Audit", "Deny", "Warn")


def _validate(binding: Object) -> list[FieldError]:
    actions = (binding.get("spec") or {}).get("validationActions") or []
    return [*bindings.validate(binding), *_validate_actions("spec.validationActions", actions)]


def _validate_actions(path: str, actions: list[str]) -> list[FieldError]:
    found, repeated = [], set(checks.repeated(actions))
    for index, action in enumerate(actions):
        found.extend(checks.supported(f"{path}[{index}]", action, _ACTIONS))
        if index in repeated:
            found.append(errors.duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        found.append(errors.invalid_value(path, actions, text))
    if not actions:
        found.append(errors.required(path, "at least one validation action is required"))
    return found


STRATEGY = Strategy(
    default=bindings.default,
    validate=_validate,
    generation=True,
    unconditional_update=False,
    cells=bindings.cells,
)
