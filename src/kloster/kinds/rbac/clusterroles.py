"""ClusterRoles: permissions in the whole cluster, or a union of other cluster roles that a controller keeps."""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, selector
from kloster.kinds.rbac import rules
from kloster.kinds.strategy import Strategy


def _validate(role: Object) -> list[FieldError]:
    found = rules.validate(role.get("rules"), namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return found
    selectors = aggregation.get("clusterRoleSelectors")
    path = "aggregationRule.clusterRoleSelectors"
    if not selectors:
        found.append(errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
    for index, item in enumerate(selectors or ()):
        if problems := selector.validate(item, f"{path}[{index}]"):
            found.extend(problems)
            found.append(errors.invalid_value(f"{path}[{index}]", None, "invalid label selector."))
    return found


STRATEGY = Strategy(
    validate=_validate,
    validate_update=checks.again(_validate),
    name="path",
    create_on_update=True,
)
