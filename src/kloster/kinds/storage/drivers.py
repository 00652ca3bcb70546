"""What CSI kinds share: names of drivers, parameters of classes.

Source: https://kubernetes-csi.github.io/docs/
"""

from __future__ import annotations

from collections.abc import Mapping

from kloster.apimachinery import errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names

_MOST_PARAMETERS = 512
_PARAMETERS_SIZE = 256 * 1024


def validate_name(path: str, name: str) -> list[FieldError]:
    """A driver's name where one is referred to: a subdomain of at most 63 bytes, whatever its case."""
    found = [] if name else [errors.required(path)]
    if len(name.encode()) > 63:
        found.append(errors.too_long(path, 63))
    return [*found, *checks.complaints(path, name, names.subdomain(name.lower()))]


def validate_provisioner(path: str, name: str) -> list[FieldError]:
    if not name:
        return [errors.required(path)]
    lower = name.lower()
    return checks.complaints(path, lower, names.qualified_name(lower))


def validate_parameters(path: str, parameters: Mapping[str, str] | None, *, required: bool = False) -> list[FieldError]:
    given = parameters or {}
    if len(given) > _MOST_PARAMETERS:
        return [errors.too_long(path, _MOST_PARAMETERS)]
    found = [errors.invalid_value(path, key, "field can not be empty.") for key in given if not key]
    if sum(len(key.encode()) + len(value.encode()) for key, value in given.items()) > _PARAMETERS_SIZE:
        found.append(errors.too_long(path, _PARAMETERS_SIZE))
    if required and not given:
        found.append(errors.required(path, "must contain at least one key/value pair"))
    return found
