"""What roles share: the check of a policy rule.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError


def validate(rules: list[Object] | None, namespaced: bool) -> list[FieldError]:
    return [found for index, rule in enumerate(rules or ()) for found in _rule(rule, namespaced, f"rules[{index}]")]


def _rule(rule: Object, namespaced: bool, path: str) -> list[FieldError]:
    found = []
    if not rule.get("verbs"):
        found.append(errors.required(f"{path}.verbs", "verbs must contain at least one value"))
    if urls := rule.get("nonResourceURLs"):
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            found.append(errors.invalid_value(f"{path}.nonResourceURLs", urls, text))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(errors.invalid_value(f"{path}.nonResourceURLs", urls, text))
        return found
    if not rule.get("apiGroups"):
        found.append(errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(errors.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found
