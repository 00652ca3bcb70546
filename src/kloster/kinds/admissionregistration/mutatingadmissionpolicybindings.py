"""MutatingAdmissionPolicyBindings: where a mutating policy applies (v1 since 1.36)."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds.admissionregistration import bindings, policies
from kloster.kinds.strategy import Strategy


def _validate(binding: Object) -> list[FieldError]:
    resources = (binding.get("spec") or {}).get("matchResources")
    return [*bindings.validate(binding), *policies.validate_mutable("spec.matchResources", resources)]


STRATEGY = Strategy(
    default=bindings.default,
    validate=_validate,
    generation=True,
    unconditional_update=False,
    cells=bindings.cells,
)
