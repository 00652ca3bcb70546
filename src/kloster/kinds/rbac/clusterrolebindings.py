"""ClusterRoleBindings: who has the permissions of a cluster role everywhere."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds.rbac import bindings
from kloster.kinds.strategy import Strategy


def _validate(binding: Object) -> list[FieldError]:
    return bindings.validate(binding, ("ClusterRole",), namespaced=False)


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return [*_validate(new), *bindings.validate_update(new, old)]


STRATEGY = Strategy(
    default=bindings.default,
    validate=_validate,
    validate_update=_validate_update,
    name="path",
    create_on_update=True,
    cells=bindings.cells,
)
