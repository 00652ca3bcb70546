"""CSIStorageCapacities: how much room a storage class has in a part of the topology."""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object, errors, quantity
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, metadata, names, nodelabels, selector
from kloster.kinds.strategy import Strategy


def _validate(capacity: Object) -> list[FieldError]:
    found = selector.validate(capacity.get("nodeTopology"), "nodeTopology")
    name, amount = checks.text(capacity.get("storageClassName")), capacity.get("capacity")
    found.extend(checks.complaints("storageClassName", name, names.subdomain(name)))
    if amount is not None and quantity.parse(str(amount)) < quantity.of(0):
        text = "must be greater than or equal to 0"
        found.append(errors.invalid_value("capacity", str(amount), text))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return [
        found
        for name in ("nodeTopology", "storageClassName")
        for found in metadata.immutable(new.get(name), old.get(name), name)
    ]


def _warn(new: Object, _old: Object | None, _minor: int) -> Iterator[str]:
    return nodelabels.selector_warnings(new.get("nodeTopology"), "nodeTopology")


STRATEGY = Strategy(
    validate=_validate,
    validate_update=_validate_update,
    unconditional_update=False,
    warn=_warn,
)
