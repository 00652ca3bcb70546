"""References from an autoscaler to what it scales and measures."""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names


def validate(path: str, ref: Object, *, core: bool = False, version: bool = True) -> list[FieldError]:
    """Kind, name and apiVersion.

    core     a version without a group is allowed
    version  whether apiVersion is checked at all: what is stored may have a wrong one
    """
    found = []
    for name in ("kind", "name"):
        value = checks.text(ref.get(name))
        if value:
            found.extend(checks.complaints(f"{path}.{name}", value, names.path_segment(value)))
        else:
            found.append(errors.required(f"{path}.{name}"))
    value = checks.text(ref.get("apiVersion"))
    if version and (text := _problem(value, core)):
        found.append(errors.invalid_value(f"{path}.apiVersion", value, text))
    return found


def _problem(value: str, core: bool) -> str:
    if value.count("/") > 1:
        return f"unexpected GroupVersion string: {value}"
    group = value.rpartition("/")[0]
    return "" if core or group else "apiVersion must specify API group"
