"""References from networking objects to objects of any kind: backends and parameters of ingress classes."""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names


def validate(path: str, ref: Object) -> list[FieldError]:
    """apiGroup (optional), kind and name."""
    found = []
    if (group := ref.get("apiGroup")) is not None:
        found.extend(checks.complaints(f"{path}.apiGroup", group, names.subdomain(group)))
    return [*found, *segment(path, ref, "kind"), *segment(path, ref, "name")]


def segment(path: str, ref: Object, name: str) -> list[FieldError]:
    """A field that is required and can stand in a URL."""
    value = checks.text(ref.get(name))
    if not value:
        return [errors.required(f"{path}.{name}")]
    return checks.complaints(f"{path}.{name}", value, names.path_segment(value))
