"""Roles: permissions within a namespace."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks
from kloster.kinds.rbac import rules
from kloster.kinds.strategy import Strategy


def _validate(role: Object) -> list[FieldError]:
    return rules.validate(role.get("rules"), namespaced=True)


STRATEGY = Strategy(
    validate=_validate,
    validate_update=checks.again(_validate),
    name="path",
    create_on_update=True,
)
