"""ServiceCIDRs: the ranges that addresses of services are taken from.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/#ip-address-objects
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, lifecycle, metadata, names
from kloster.kinds.strategy import Strategy

_PATH = "spec.cidrs"


def _cidrs(obj: Object) -> list[str]:
    return (obj.get("spec") or {}).get("cidrs") or []


def _validate_create(obj: Object) -> list[FieldError]:
    # Upstream validates an update by its own rule alone (_validate_update).
    return _validate(obj) if lifecycle.is_new(obj) else []


def _validate(obj: Object) -> list[FieldError]:
    cidrs = _cidrs(obj)
    if not cidrs:
        return [errors.required(_PATH, "at least one CIDR required")]
    if len(cidrs) > 2:
        return [errors.invalid_value(_PATH, {"CIDRs": cidrs}, "may only hold up to 2 values")]
    found = []
    for index, cidr in enumerate(cidrs):
        found.extend(checks.complaints(f"{_PATH}[{index}]", cidr, names.canonical_cidr(cidr)))
    networks = [names.parse_cidr(cidr) for cidr in cidrs]
    versions = [network.version for network in networks if network is not None]
    if len(versions) == 2 and versions[0] == versions[1]:
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        found.append(errors.invalid_value(_PATH, cidrs, text))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    """Nothing may change, but a second range may be added to become dual stack."""
    now, before = _cidrs(new), _cidrs(old)
    extended = len(before) == 1 and len(now) == 2
    if len(now) != len(before) and not extended:
        return [errors.invalid_value(_PATH, now or None, metadata.IMMUTABLE)]
    found = [
        errors.invalid_value(f"{_PATH}[{index}]", now[index], metadata.IMMUTABLE)
        for index, cidr in enumerate(before)
        if now[index] != cidr
    ]
    return [*found, *_validate(new)] if extended else found


def _cells(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], ",".join(_cidrs(obj)), table.age(obj, now)]


STRATEGY = Strategy(
    prepare_status=lifecycle.keep_spec_and_metadata,
    validate=_validate_create,
    validate_update=_validate_update,
    status=True,
    cells=_cells,
)
