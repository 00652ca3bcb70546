"""What bindings of admission policies share: the policy, its parameters, what it is narrowed to.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, names, selector
from kloster.kinds.admissionregistration import policies


def default(binding: Object) -> None:
    policies.default_resources(defaulting.struct(binding, "spec").get("matchResources"))


def validate(binding: Object) -> list[FieldError]:
    spec = binding.get("spec") or {}
    name = checks.text(spec.get("policyName"))
    found = []
    if not name:
        found.append(errors.required("spec.policyName"))
    else:
        found.extend(checks.complaints("spec.policyName", name, names.subdomain(name)))
    if (ref := spec.get("paramRef")) is not None:
        found.extend(_param_ref("spec.paramRef", ref))
    if (resources := spec.get("matchResources")) is not None:
        found.extend(policies.validate_resources("spec.matchResources", resources))
    return found


def _param_ref(path: str, ref: Object) -> list[FieldError]:
    name, chosen, action = ref.get("name"), ref.get("selector"), ref.get("parameterNotFoundAction")
    found = []
    if name:
        found.extend(checks.complaints(f"{path}.name", name, names.path_segment(name)))
        if chosen is not None:
            text = "name and selector are mutually exclusive"
            found.append(errors.forbidden_field(f"{path}.name", text))
    if chosen is not None:
        found.extend(selector.validate(chosen, f"{path}.selector"))
        if name:
            text = "name and selector are mutually exclusive"
            found.append(errors.forbidden_field(f"{path}.selector", text))
    if not name and chosen is None:
        found.append(errors.required(path, "one of name or selector must be specified"))
    if not action:
        found.append(errors.required(f"{path}.parameterNotFoundAction"))
    else:
        found.extend(checks.supported(f"{path}.parameterNotFoundAction", action, ["Deny", "Allow"]))
    return found


def cells(binding: Object, now: float) -> list[Any]:
    spec = binding.get("spec") or {}
    shown = "<unset>"
    if (ref := spec.get("paramRef")) is not None:
        if ref.get("name"):
            shown = f"{ref.get('namespace') or '*'}/{ref['name']}"
        elif ref.get("selector") is not None:
            shown = _go_text(ref["selector"])
    return [binding["metadata"]["name"], checks.text(spec.get("policyName")), shown, table.age(binding, now)]


def _go_text(chosen: Object) -> str:
    """The selector as Go's generated String method shows it."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((chosen.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{item.get('key', '')},Operator:{item.get('operator', '')},"
        f"Values:[{' '.join(item.get('values') or ())}],}},"
        for item in chosen.get("matchExpressions") or ()
    )
    listed = f"[]LabelSelectorRequirement{{{expressions}}}"
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:{listed},}}"
