"""Names and amounts of resources: cpu, memory, extended resources, huge pages, and what quotas count.

A name without a prefix, or with one that ends in kubernetes.io, is Kubernetes' own; others are *extended*, counted in
whole numbers, and cannot be overcommitted. Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from kloster.apimachinery.errors import FieldError, invalid_value
from kloster.apimachinery.quantity import ZERO, QuantityError, parse
from kloster.kinds import names, quantity

CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_QUOTA = (
    CONTAINER
    | {f"{kind}.{name}" for kind in ("requests", "limits") for name in CONTAINER}
    | {"requests.storage"}
    | _COUNTED
)
_STANDARD = _QUOTA | {"storage"}
_HUGE_PAGES = "hugepages-"


def is_huge_pages(name: str) -> bool:
    return name.startswith(_HUGE_PAGES)


def _is_quota_huge_pages(name: str) -> bool:
    return name.startswith((_HUGE_PAGES, f"requests.{_HUGE_PAGES}"))


def is_native(name: str) -> bool:
    """In Kubernetes' own namespace, to which names without a prefix belong."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_pages(name)


def is_quota_name(name: str) -> bool:
    return name in _QUOTA or _is_quota_huge_pages(name)


def validate_name(name: str, path: str) -> list[FieldError]:
    """Any resource name: qualified, and known where it has no prefix."""
    found = [invalid_value(path, name, text) for text in names.qualified_name(name)]
    if not found and "/" not in name and name not in _STANDARD and not _is_quota_huge_pages(name):
        found.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))
    return found


def validate_container_name(name: str, path: str) -> list[FieldError]:
    """A resource that a container can ask for."""
    found = validate_name(name, path)
    if "/" not in name:
        if name not in CONTAINER and not is_huge_pages(name):
            return [*found, invalid_value(path, name, "must be a standard resource for containers")]
    elif not is_native(name) and not is_extended(name):
        return [*found, invalid_value(path, name, "doesn't follow extended resource name standard")]
    return found


def validate_quota_name(name: str, path: str) -> list[FieldError]:
    found = validate_name(name, path)
    if "/" not in name and not is_quota_name(name):
        return [*found, invalid_value(path, name, "must be a standard resource for quota")]
    return found


def validate_amount(name: str, text: str, path: str) -> list[FieldError]:
    """Not negative, and whole where the resource is counted."""
    number = quantity.parse(text)
    found = nonnegative(text, path)
    if (name in _COUNTED or is_extended(name)) and not quantity.is_whole(number):
        found.append(invalid_value(path, number.text, "must be an integer"))
    return found


def nonnegative(text: str, path: str) -> list[FieldError]:
    number = quantity.parse(text)
    if number < ZERO:
        return [invalid_value(path, number.text, "must be greater than or equal to 0")]
    return []


def positive(text: str, path: str) -> list[FieldError]:
    number = quantity.parse(text)
    if number <= ZERO:
        return [invalid_value(path, number.text, "must be greater than zero")]
    return []


def validate_huge_pages(name: str, text: str, path: str) -> list[FieldError]:
    """Huge pages come in multiples of their size, which is part of the name."""
    number = quantity.parse(text)
    try:
        size = parse(name.removeprefix(_HUGE_PAGES))
    except QuantityError:
        size = ZERO
    if size > ZERO and quantity.is_whole(size) and number.value % size.value == 0:
        return []
    return [invalid_value(path, number.text, f"{number.text} is not positive integer multiple of {name}")]
