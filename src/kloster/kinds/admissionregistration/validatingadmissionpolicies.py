"""ValidatingAdmissionPolicies: CEL rules that a request must fulfil."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.declarations import Environment
from kloster.apimachinery.errors import FieldError
from kloster.apimachinery.policies import validating
from kloster.kinds import checks, lifecycle, minors, names
from kloster.kinds.admissionregistration import expressions, policies
from kloster.kinds.strategy import Strategy

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_MOST_ANNOTATIONS = 20
_LONGEST_ANNOTATION = 5 * 1024


def _validate(policy: Object, minor: int) -> list[FieldError]:
    spec = policy.get("spec") or {}
    found = policies.validate(policy)
    base = expressions.seen_by(spec, minor)
    conditions = spec.get("matchConditions")
    found.extend(expressions.validate_match_conditions("spec.matchConditions", conditions, base))
    found.extend(expressions.validate_variables("spec.variables", spec.get("variables"), base))
    whole, _ = validating.declare_variables(spec, base)
    plain, _ = validating.declare_variables(spec, expressions.seen_by(spec, minor, authorizer=False))
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        text = "validations or auditAnnotations must contain at least one item"
        return [*found, errors.required("spec.validations", text), errors.required("spec.auditAnnotations", text)]
    for index, validation in enumerate(validations):
        found.extend(_validation(f"spec.validations[{index}]", validation, whole, plain))
    name = checks.text(policy["metadata"].get("name"))
    found.extend(_annotations("spec.auditAnnotations", annotations, name, plain))
    return found


def _validation(path: str, validation: Object, whole: Environment, plain: Environment) -> list[FieldError]:
    fields = ("expression", "message", "messageExpression")
    expression, message, message_expression = (checks.text(validation.get(name)) for name in fields)
    found = []
    if not expression.strip():
        found.append(errors.required(f"{path}.expression", "expression is not specified"))
    else:
        found.extend(expressions.compiled(f"{path}.expression", expression, whole, types.BOOL))
    if message_expression.strip():
        at = f"{path}.messageExpression"
        found.extend(expressions.compiled(at, message_expression, plain, types.STRING))
    elif message_expression and not message_expression.strip():
        text = "must be non-empty if specified"
        found.append(errors.invalid_value(f"{path}.messageExpression", message_expression, text))
    if message and not message.strip():
        found.append(errors.invalid_value(f"{path}.message", message, "must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        found.append(errors.invalid_value(f"{path}.message", message, "must not contain line breaks"))
    if (reason := validation.get("reason")) is not None:
        found.extend(checks.supported(f"{path}.reason", reason, _REASONS))
    return found


def _annotations(path: str, annotations: list[Object], policy: str, plain: Environment) -> list[FieldError]:
    found = []
    if len(annotations) > _MOST_ANNOTATIONS:
        text = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        found.append(errors.invalid_value(path, annotations, text))
    seen = set()
    for index, annotation in enumerate(annotations):
        at, key = f"{path}[{index}]", checks.text(annotation.get("key"))
        full, value = f"{policy}/{key}", checks.text(annotation.get("valueExpression")).strip()
        found.extend(checks.complaints(f"{at}.key", full, names.qualified_name(full)))
        if not value:
            found.append(errors.required(f"{at}.valueExpression", "valueExpression is not specified"))
        elif len(value.encode()) > _LONGEST_ANNOTATION:
            text = f"must not exceed {_LONGEST_ANNOTATION} bytes in length"
            found.append(errors.required(f"{at}.valueExpression", text))
        else:
            source = checks.text(annotation.get("valueExpression"))
            found.extend(expressions.compiled(f"{at}.valueExpression", source, plain, types.STRING, types.NULL))
        if key in seen:
            found.append(errors.duplicate(f"{at}.key", key))
        seen.add(key)
    return found


def _cells(policy: Object, now: float) -> list[Any]:
    return policies.cells(policy, len((policy.get("spec") or {}).get("validations") or ()), now)


STRATEGY = Strategy(
    default=policies.default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec_and_metadata,
    validate=lambda policy: _validate(policy, minors.NEWEST),
    generation=True,
    status=True,
    unconditional_update=False,
    cells=_cells,
)
CHANGED = minors.each(lambda minor: replace(STRATEGY, validate=lambda policy: _validate(policy, minor)))
