"""Rules: which operations on which resources a webhook or a policy is asked about.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, defaulting

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")


def default(rules: Iterable[Object] | None) -> None:
    for rule in rules or ():
        defaulting.absent(rule, scope="*")


def validate(path: str, rule: Object, operations: tuple[str, ...] = _OPERATIONS) -> list[FieldError]:
    found = _list(f"{path}.operations", rule.get("operations") or [], "operations")
    for index, operation in enumerate(rule.get("operations") or ()):
        found.extend(checks.supported(f"{path}.operations[{index}]", operation, operations))
    found.extend(_list(f"{path}.apiGroups", rule.get("apiGroups") or [], "API groups"))
    versions = rule.get("apiVersions") or []
    found.extend(_list(f"{path}.apiVersions", versions, "API versions"))
    found.extend(_blank(f"{path}.apiVersions", versions))
    found.extend(_resources(f"{path}.resources", rule.get("resources") or []))
    if (scope := rule.get("scope")) is not None:
        found.extend(checks.supported(f"{path}.scope", scope, _SCOPES))
    return found


def _list(path: str, values: list[str], noun: str) -> list[FieldError]:
    if not values:
        return [errors.required(path)]
    if len(values) > 1 and "*" in values:
        return [errors.invalid_value(path, values, f"if '*' is present, must not specify other {noun}")]
    return []


def _blank(path: str, values: list[str]) -> list[FieldError]:
    return [errors.required(f"{path}[{index}]") for index, value in enumerate(values) if not value]


def _resources(path: str, resources: list[str]) -> list[FieldError]:
    """Wildcards must not make other entries superfluous."""
    if not resources:
        return [errors.required(path)]
    found = []
    all_of: set[str] = set()  # x of x/*
    everywhere: set[str] = set()  # x of */x
    bare = False
    for index, entry in enumerate(resources):
        if not entry:
            found.append(errors.required(f"{path}[{index}]"))
            continue
        resource, slash, sub = entry.partition("/")
        if not slash:
            bare = entry != "*"
            continue
        if resource in all_of:
            text = f"if '{resource}/*' is present, must not specify {entry}"
            found.append(errors.invalid_value(f"{path}[{index}]", entry, text))
        if sub in everywhere:
            text = f"if '*/{sub}' is present, must not specify {entry}"
            found.append(errors.invalid_value(f"{path}[{index}]", entry, text))
        if sub == "*":
            all_of.add(resource)
        if resource == "*":
            everywhere.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        found.append(errors.invalid_value(path, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and bare:
        text = "if '*' is present, must not specify other resources without subresources"
        found.append(errors.invalid_value(path, resources, text))
    return found
