"""What a claim asks for: requests for devices, constraints between them, configuration for drivers.

Expressions that select devices are compiled where devices are allocated; here stand presence and length.
Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, defaulting, names
from kloster.kinds.internal import Pointer

MOST_REQUESTS = 32
MOST_CONSTRAINTS = 32
MOST_CONFIGS = 32
_MOST_SELECTORS = 32
_MOST_ALTERNATIVES = 8
_LONGEST_EXPRESSION = 10 * 1024
_LARGEST_PARAMETERS = 10 * 1024
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_EFFECTS = ("NoExecute", "NoSchedule")

_SELECTORS = [{"cel": Pointer({"expression": ""})}]
_TOLERATIONS = [{"key": "", "operator": "", "value": "", "effect": "", "tolerationSeconds": None}]
_REQUEST = {
    "deviceClassName": "",
    "selectors": _SELECTORS,
    "allocationMode": "",
    "count": 0,
    "tolerations": _TOLERATIONS,
    "capacity": None,
}
_EXACT = {
    **{name: _REQUEST[name] for name in ("deviceClassName", "selectors", "allocationMode", "count")},
    "adminAccess": None,
    "tolerations": _TOLERATIONS,
    "capacity": None,
}
SPEC = {
    "devices": {
        "requests": [{"name": "", "exactly": Pointer(_EXACT), "firstAvailable": [{"name": "", **_REQUEST}]}],
        "constraints": [{"requests": [], "matchAttribute": None, "distinctAttribute": None}],
        "config": [{"requests": [], "opaque": Pointer({"driver": "", "parameters": None})}],
    }
}
"""The spec of a claim as errors show it."""


def default(devices: Object | None) -> None:
    for request in (devices or {}).get("requests") or ():
        exact = [] if request.get("exactly") is None else [request["exactly"]]
        for each in (*exact, *(request.get("firstAvailable") or ())):
            defaulting.empty(each, allocationMode="ExactCount")
            for toleration in each.get("tolerations") or ():
                defaulting.empty(toleration, operator="Equal")
            if each["allocationMode"] == "ExactCount":
                defaulting.empty(each, count=1)


def listed(
    path: str,
    items: Sequence[Any],
    limit: int,
    check: Callable[[str, Any], list[FieldError]],
    key: str | None = None,
) -> list[FieldError]:
    """A list of at most `limit` items; with `key`, a set (by that field, or by the items themselves if it is "")."""
    found = [each for index, item in enumerate(items) for each in check(f"{path}[{index}]", item)]
    if len(items) > limit >= 0:
        found.append(errors.too_many(path, len(items), limit))
    if key is not None:
        found.extend(_repeated(path, items, key))
    return found


def _repeated(path: str, items: Sequence[Any], key: str) -> Iterator[FieldError]:
    seen: set[Any] = set()
    for index, item in enumerate(items):
        value = checks.text(item.get(key)) if key else item
        if value in seen:
            yield errors.duplicate(f"{path}[{index}].{key}" if key else f"{path}[{index}]", value)
        seen.add(value)


def validate(path: str, devices: Object) -> list[FieldError]:
    """`devices` of a claim's spec."""
    known = known_names(devices)

    def constraint(at: str, item: Object) -> list[FieldError]:
        found = listed(f"{at}.requests", item.get("requests") or [], MOST_REQUESTS, reference, "")
        match = item.get("matchAttribute")
        if match is None:
            return [*found, errors.required(f"{at}.matchAttribute")]
        return [*found, *fully_qualified(f"{at}.matchAttribute", match)]

    def configuration(at: str, item: Object) -> list[FieldError]:
        found = listed(f"{at}.requests", item.get("requests") or [], MOST_REQUESTS, reference, "")
        return [*found, *validate_configuration(at, item)]

    def reference(at: str, name: str) -> list[FieldError]:
        return validate_reference(at, name, known)

    return [
        *listed(f"{path}.requests", devices.get("requests") or [], MOST_REQUESTS, _request, "name"),
        *listed(f"{path}.constraints", devices.get("constraints") or [], MOST_CONSTRAINTS, constraint),
        *listed(f"{path}.config", devices.get("config") or [], MOST_CONFIGS, configuration),
    ]


def known_names(devices: Object) -> Mapping[str, set[str]]:
    """The names of the requests, each with those of its alternatives."""
    return {
        checks.text(request.get("name")): {checks.text(sub.get("name")) for sub in request.get("firstAvailable") or ()}
        for request in devices.get("requests") or ()
    }


def validate_reference(path: str, name: str, known: Mapping[str, set[str]]) -> list[FieldError]:
    request, slash, sub = name.partition("/")
    if "/" in sub:
        return [errors.invalid_value(path, name, _REFERENCE)]
    found = [each for part in name.split("/") for each in _name(path, part)]
    if request not in known or (slash and sub not in known[request]):
        found.append(errors.invalid_value(path, name, _REFERENCE))
    return found


def _name(path: str, name: str) -> list[FieldError]:
    return checks.complaints(path, name, names.label(name))


def _request(path: str, request: Object) -> list[FieldError]:
    exact, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    found = _name(f"{path}.name", checks.text(request.get("name")))
    found.extend(listed(f"{path}.firstAvailable", alternatives, _MOST_ALTERNATIVES, _alternative, "name"))
    if exact is not None:
        found.extend(_devices(f"{path}.exactly", exact))
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if exact is None and not alternatives:
        found.append(errors.required(path, text))
    if exact is not None and alternatives:
        found.append(errors.invalid_value(path, None, f"{text}, but multiple fields are set"))
    return found


def _alternative(path: str, request: Object) -> list[FieldError]:
    return [*_name(f"{path}.name", checks.text(request.get("name"))), *_devices(path, request)]


def _devices(path: str, request: Object) -> list[FieldError]:
    device_class, mode = (checks.text(request.get(name)) for name in ("deviceClassName", "allocationMode"))
    count = request.get("count") or 0
    found = []
    if not device_class:
        found.append(errors.required(f"{path}.deviceClassName"))
    else:
        found.extend(checks.complaints(f"{path}.deviceClassName", device_class, names.subdomain(device_class)))
    found.extend(validate_selectors(f"{path}.selectors", request.get("selectors") or []))
    if mode == "All" and count:
        text = "must not be specified when allocationMode is 'All'"
        found.append(errors.invalid_value(f"{path}.count", count, text))
    elif mode == "ExactCount" and count <= 0:
        found.append(errors.invalid_value(f"{path}.count", count, "must be greater than zero"))
    found.extend(checks.supported(f"{path}.allocationMode", mode, ["All", "ExactCount"]))
    for index, toleration in enumerate(request.get("tolerations") or ()):
        found.extend(_toleration(f"{path}.tolerations[{index}]", toleration))
    return found


def _toleration(path: str, toleration: Object) -> list[FieldError]:
    fields = ("key", "operator", "value", "effect")
    key, operator, value, effect = (checks.text(toleration.get(name)) for name in fields)
    found = checks.complaints(f"{path}.key", key, names.qualified_name(key)) if key else []
    if operator == "Exists":
        if value:
            found.append(errors.invalid_value(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        found.extend(checks.complaints(f"{path}.value", value, names.label_value(value)))
    elif not operator:
        found.append(errors.required(f"{path}.operator"))
    else:
        found.append(errors.not_supported(f"{path}.operator", operator, ["Equal", "Exists"]))
    return [*found, *(checks.supported(f"{path}.effect", effect, _EFFECTS) if effect else ())]


def validate_taint(path: str, taint: Object) -> list[FieldError]:
    key, value, effect = (checks.text(taint.get(name)) for name in ("key", "value", "effect"))
    found = checks.complaints(f"{path}.key", key, names.qualified_name(key))
    found.extend(checks.complaints(f"{path}.value", value, names.label_value(value)))
    if not effect:
        return [*found, errors.required(f"{path}.effect")]
    return [*found, *checks.supported(f"{path}.effect", effect, _EFFECTS)]


def validate_selectors(path: str, selectors: list[Object]) -> list[FieldError]:
    def check(at: str, item: Object) -> list[FieldError]:
        cel = item.get("cel")
        if cel is None:
            return [errors.required(f"{at}.cel")]
        if len(checks.text(cel.get("expression")).encode()) > _LONGEST_EXPRESSION:
            return [errors.too_long(f"{at}.cel.expression", _LONGEST_EXPRESSION)]
        return []

    return listed(path, selectors, _MOST_SELECTORS, check)


def validate_configuration(path: str, configuration: Object) -> list[FieldError]:
    opaque = configuration.get("opaque")
    if opaque is None:
        return [errors.required(f"{path}.opaque")]
    parameters = opaque.get("parameters")
    found = driver(f"{path}.opaque.driver", checks.text(opaque.get("driver")))
    at = f"{path}.opaque.parameters"
    if parameters is None:
        found.append(errors.required(at))
    elif not isinstance(parameters, dict):
        found.append(errors.invalid_value(at, "<value omitted>", "must be a valid JSON object"))
    elif len(orjson.dumps(parameters)) > _LARGEST_PARAMETERS:
        found.append(errors.too_long(at, _LARGEST_PARAMETERS))
    return found


def driver(path: str, name: str) -> list[FieldError]:
    found = [] if name else [errors.required(path)]
    if len(name.encode()) > 63:
        found.append(errors.too_long(path, 63))
    return [*found, *checks.complaints(path, name, names.subdomain(name))]


def qualified(path: str, name: str) -> list[FieldError]:
    """``identifier`` or ``domain/identifier``: names of attributes and capacities."""
    if not name:
        return [errors.required(path, "name required")]
    parts = name.split("/")
    if len(parts) > 2:
        return [errors.invalid_value(path, name, "a qualified name must be of the form [<domain>/]<name>")]
    found = []
    if len(parts) == 2:
        found.extend(driver(path, parts[0]) if parts[0] else [errors.required(path, "the domain must not be empty")])
        if not parts[1]:
            return [*found, errors.required(path, "the name must not be empty")]
    if len(parts[-1].encode()) > 32:
        found.append(errors.too_long(path, 32))
    return [*found, *checks.complaints(path, parts[-1], names.c_identifier(parts[-1]))]


def fully_qualified(path: str, name: str) -> list[FieldError]:
    found = qualified(path, name)
    if name and "/" not in name:
        found.append(errors.invalid_value(path, name, "must include a domain"))
    return found


def pool(path: str, name: str) -> list[FieldError]:
    """Subdomains separated by slashes."""
    if not name:
        return [errors.required(path)]
    found = [errors.too_long(path, 253)] if len(name.encode()) > 253 else []
    for part in name.split("/"):
        found.extend(checks.complaints(path, part, names.subdomain(part)))
    return found
