"""MutatingAdmissionPolicies: CEL rules that change a request's object (v1 since 1.36)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, minors
from kloster.kinds.admissionregistration import expressions, policies
from kloster.kinds.strategy import Strategy

_SHAPES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def _validate(policy: Object, minor: int) -> list[FieldError]:
    spec = policy.get("spec") or {}
    found = policies.validate(policy)
    found.extend(policies.validate_mutable("spec.matchConstraints", spec.get("matchConstraints")))
    base = expressions.seen_by(spec, minor)
    conditions = spec.get("matchConditions")
    found.extend(expressions.validate_match_conditions("spec.matchConditions", conditions, base))
    found.extend(expressions.validate_variables("spec.variables", spec.get("variables"), base))
    mutations = spec.get("mutations") or []
    if not mutations:
        found.append(errors.required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        found.extend(_mutation(f"spec.mutations[{index}]", mutation))
    if not spec.get("reinvocationPolicy"):
        found.append(errors.required("spec.reinvocationPolicy"))
    else:
        policies_ = ["IfNeeded", "Never"]
        found.extend(checks.supported("spec.reinvocationPolicy", spec["reinvocationPolicy"], policies_))
    return found


def _mutation(path: str, mutation: Object) -> list[FieldError]:
    kind = checks.text(mutation.get("patchType"))
    if not kind:
        return [errors.required(f"{path}.patchType")]
    if kind not in _SHAPES:
        return checks.supported(f"{path}.patchType", kind, _SHAPES)
    found = []
    for name, shape in _SHAPES.items():
        given = mutation.get(shape)
        if name == kind:
            found.extend(_expression(f"{path}.{shape}", given, kind))
        elif given is not None:
            text = f"must not be specified when patchType is {kind}"
            found.append(errors.invalid_value(f"{path}.{shape}", f"{{{shape}}}", text))
    return found


def _expression(path: str, given: Object | None, kind: str) -> list[FieldError]:
    if given is None:
        return [errors.required(path, f"must be specified when patchType is {kind}")]
    if not checks.text(given.get("expression")).strip():
        return [errors.required(f"{path}.expression")]
    return []


def _cells(policy: Object, now: float) -> list[Any]:
    return policies.cells(policy, len((policy.get("spec") or {}).get("mutations") or ()), now)


STRATEGY = Strategy(
    default=policies.default,
    validate=lambda policy: _validate(policy, minors.NEWEST),
    generation=True,
    unconditional_update=False,
    cells=_cells,
)
CHANGED = minors.each(lambda minor: replace(STRATEGY, validate=lambda policy: _validate(policy, minor)))
