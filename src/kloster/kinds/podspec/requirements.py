"""What containers and pods ask for: requests, limits and claims.

Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    shown,
)
from kloster.kinds import checks, names, quantity, resources
from kloster.kinds.podspec.aggregate import aggregate

NameCheck = Callable[[str, str], list[FieldError]]


def validate_resources(
    requirements: Object | None,
    path: str,
    claims: Collection[str] = (),
    check: NameCheck = resources.validate_container_name,
) -> list[FieldError]:
    """A container's requirements. `claims` are the names in the pod's spec.resourceClaims."""
    requirements = requirements or {}
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    found: list[FieldError] = []
    for name, amount in limits.items():
        found.extend(_validate_one(name, amount, f"{path}.limits[{name}]", check))
        if resources.is_huge_pages(name):
            found.extend(resources.validate_huge_pages(name, amount, f"{path}.limits[{name}]"))
    for name, amount in requests.items():
        found.extend(_validate_one(name, amount, f"{path}.requests[{name}]", check))
        found.extend(_compare(name, amount, limits.get(name), path))
        if resources.is_huge_pages(name):
            found.extend(resources.validate_huge_pages(name, amount, f"{path}.requests[{name}]"))
    asked = {*limits, *requests}
    if any(resources.is_huge_pages(name) for name in asked) and not asked & {"cpu", "memory"}:
        found.append(forbidden_field(path, "HugePages require cpu or memory"))
    found.extend(_validate_claims(requirements.get("claims") or (), claims, f"{path}.claims"))
    return found


def _validate_one(name: str, amount: str, path: str, check: NameCheck) -> list[FieldError]:
    return [*check(name, path), *resources.validate_amount(name, amount, path)]


def _compare(name: str, request: str, limit: str | None, path: str) -> Iterable[FieldError]:
    """A request is at most the limit; where overcommitting is impossible it equals the limit."""
    if limit is None:
        if not resources.may_overcommit(name):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    asked, allowed = quantity.parse(request), quantity.parse(limit)
    if asked != allowed and not resources.may_overcommit(name):
        yield invalid_value(f"{path}.requests", asked.text, f"must be equal to {name} limit of {allowed.text}")
    elif asked > allowed:
        text = f"must be less than or equal to {name} limit of {allowed.text}"
        yield invalid_value(f"{path}.requests", asked.text, text)


_MOST_TOLD = 100


def _validate_claims(claims: Iterable[Object], known: Collection[str], path: str) -> Iterable[FieldError]:
    seen: set[str] = set()
    requested: Counter[str] = Counter()
    listed = f": {', '.join(sorted(known))}" if known else " which is empty"
    for index, claim in enumerate(claims):
        at, name, request = f"{path}[{index}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            yield required(at)
            continue
        if name in seen:
            yield duplicate(at, name)
        else:
            key = name
            if request:
                yield from checks.complaints(f"{at}.request", request, names.label(request))
                key = f"{name}/{request}"
            if key in seen:
                yield duplicate(at, key)
            elif not request:
                yield from (duplicate(at, name) for _ in range(min(requested[name], _MOST_TOLD)))
            else:
                requested[name] += 1
            seen.add(key)
        if name not in known:
            text = f"Not found: {shown(name)}: must be one of the names in pod.spec.resourceClaims{listed}"
            yield FieldError("FieldValueNotFound", at, text)


_POD_LEVEL = ("cpu", "hugepages-", "memory")


def _validate_pod_level_name(name: str, path: str) -> list[FieldError]:
    found = resources.validate_name(name, path)
    if not found and name not in ("cpu", "memory") and not resources.is_huge_pages(name):
        return [not_supported(path, name, _POD_LEVEL)]
    return found


def validate_pod_resources(spec: Object, path: str, claims: Collection[str]) -> Iterable[FieldError]:
    """spec.resources, which bound what all containers together may ask for (KEP 2837)."""
    pod = spec.get("resources")
    if pod is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        yield forbidden_field(path, "may not be set for a windows pod")
        return
    if pod.get("claims") is not None:
        yield forbidden_field(f"{path}.claims", "claims may not be set for Resources at pod-level")
    yield from validate_resources(pod, path, claims, _validate_pod_level_name)
    limits, requests = pod.get("limits") or {}, pod.get("requests") or {}
    for name, total in aggregate(spec, "requests").items():
        if name in requests and total > quantity.parse(requests[name]):
            text = f"must be greater than or equal to aggregate container requests of {total.text}"
            yield invalid_value(f"{path}.requests[{name}]", quantity.parse(requests[name]).text, text)
    for name, total in aggregate(spec, "limits").items():
        if resources.is_huge_pages(name) and name in limits and total > quantity.parse(limits[name]):
            text = f"must be greater than or equal to aggregate container limits of {total.text}"
            yield invalid_value(f"{path}.limits[{name}]", quantity.parse(limits[name]).text, text)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, amount in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.parse(amount) > quantity.parse(limits[name]):
                text = f"must be less than or equal to pod limits of {quantity.parse(limits[name]).text}"
                at = f"{path}.containers[{index}][{name}].limits"
                yield invalid_value(at, quantity.parse(amount).text, text)
