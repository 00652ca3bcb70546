"""IPAddresses: one object for each address that a service has; the name is the address.

Source: https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, metadata, names
from kloster.kinds.networking import references
from kloster.kinds.strategy import Strategy


def _validate(address: Object) -> list[FieldError]:
    name = checks.text(address["metadata"].get("name"))
    found = checks.complaints("metadata.name", name, names.canonical_ip(name)) if name else []
    parent = (address.get("spec") or {}).get("parentRef")
    path = "spec.parentRef"
    if parent is None:
        return [*found, errors.required(path)]
    if group := parent.get("group"):
        found.extend(checks.complaints(f"{path}.group", group, names.subdomain(group)))
    found.extend(references.segment(path, parent, "resource"))
    found.extend(references.segment(path, parent, "name"))
    if parent.get("namespace"):
        found.extend(references.segment(path, parent, "namespace"))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    parents = [(each.get("spec") or {}).get("parentRef") for each in (new, old)]
    if metadata.same(*parents):
        return []
    names_in_go = ("Group", "Resource", "Namespace", "Name")
    shown = {name: checks.text((parents[0] or {}).get(name.lower())) for name in names_in_go}
    return [errors.invalid_value("spec.parentRef", shown, metadata.IMMUTABLE)]


def _cells(address: Object, now: float) -> list[Any]:
    shown = "<none>"
    if (parent := (address.get("spec") or {}).get("parentRef")) is not None:
        group, resource, namespace = (checks.text(parent.get(name)) for name in ("group", "resource", "namespace"))
        parts = [errors.qualified(group, resource).lower(), namespace, checks.text(parent.get("name"))]
        shown = "/".join(part for index, part in enumerate(parts) if part or index != 1)
    return [address["metadata"]["name"], shown, table.age(address, now)]


# The name's rule stands in _validate: "any" keeps the registry from asking for a DNS name.
STRATEGY = Strategy(validate=_validate, validate_update=_validate_update, name="any", cells=_cells)
