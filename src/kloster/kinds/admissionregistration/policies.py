"""What validating and mutating admission policies share: what they match, and their parameters.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, names, selector
from kloster.kinds.admissionregistration import rules

_SELECTORS = ("namespaceSelector", "objectSelector")


def default_resources(resources: Object | None) -> None:
    """Defaults of matchConstraints and matchResources."""
    if resources is None:
        return
    defaulting.absent(resources, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    rules.default(resources.get("resourceRules"))
    rules.default(resources.get("excludeResourceRules"))


def default(policy: Object) -> None:
    spec = defaulting.struct(policy, "spec")
    defaulting.absent(spec, failurePolicy="Fail")
    default_resources(spec.get("matchConstraints"))


def validate(policy: Object) -> list[FieldError]:
    """failurePolicy, paramKind and matchConstraints."""
    spec = policy.get("spec") or {}
    found = checks.supported("spec.failurePolicy", spec.get("failurePolicy"), ["Fail", "Ignore"])
    if (kind := spec.get("paramKind")) is not None:
        found.extend(_param_kind("spec.paramKind", kind))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        found.append(errors.required("spec.matchConstraints"))
    else:
        found.extend(validate_resources("spec.matchConstraints", constraints))
        if not constraints.get("resourceRules"):
            found.append(errors.required("spec.matchConstraints.resourceRules"))
    return found


def validate_resources(path: str, resources: Object) -> list[FieldError]:
    found = checks.supported(f"{path}.matchPolicy", resources.get("matchPolicy"), ["Equivalent", "Exact"])
    for name in _SELECTORS:
        found.extend(selector.validate(resources.get(name), f"{path}.{name}"))
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(name) or ()):
            found.extend(_resource_names(f"{path}.{name}[{index}].resourceNames", rule.get("resourceNames") or []))
            found.extend(rules.validate(f"{path}.{name}[{index}]", rule))
    return found


def validate_mutable(path: str, resources: Object | None) -> list[FieldError]:
    """A deletion cannot be mutated."""
    operations = ("*", "CONNECT", "CREATE", "UPDATE")
    return [
        found
        for rule in (resources or {}).get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        for found in checks.supported(f"{path}.resourceRules.operations", operation, operations)
    ]


def _resource_names(path: str, given: list[str]) -> list[FieldError]:
    found, repeated = [], set(checks.repeated(given))
    for index, name in enumerate(given):
        found.extend(checks.complaints(f"{path}[{index}]", name, names.path_segment(name)))
        if index in repeated:
            found.append(errors.duplicate(f"{path}[{index}]", name))
    return found


def _param_kind(path: str, kind: Object) -> list[FieldError]:
    version, name = checks.text(kind.get("apiVersion")), checks.text(kind.get("kind"))
    found = _api_version(f"{path}.apiVersion", version)
    if not name:
        found.append(errors.required(f"{path}.kind"))
    elif texts := names.label_1035(name.lower()):
        text = f"may have mixed case, but should otherwise match: {','.join(texts)}"
        found.append(errors.invalid_value(f"{path}.kind", name, text))
    return found


def _api_version(path: str, value: str) -> list[FieldError]:
    if not value:
        return [errors.required(path)]
    if value.count("/") > 1:
        return [errors.invalid_value(path, value, f"unexpected GroupVersion string: {value}")]
    group, _, version = ("", "", "") if value == "/" else value.rpartition("/")
    found = []
    if group and (texts := names.subdomain(group)):
        found.append(errors.invalid_value(path, group, ",".join(texts)))
    if not version:
        found.append(errors.invalid_value(path, value, "version must be specified"))
    elif texts := names.label_1035(version):
        found.append(errors.invalid_value(path, version, ",".join(texts)))
    return found


def cells(policy: Object, count: int, now: float) -> list[Any]:
    kind = (policy.get("spec") or {}).get("paramKind")
    shown = "<unset>" if kind is None else f"{checks.text(kind.get('apiVersion'))}/{checks.text(kind.get('kind'))}"
    return [policy["metadata"]["name"], count, shown, table.age(policy, now)]
