"""What the status of a claim says: which devices were allocated, and what their drivers report of them.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, conditions, names
from kloster.kinds.podspec.scheduling import validate_node_selector
from kloster.kinds.resource import requests

_MOST_RESULTS = 32
_MOST_CONDITIONS = 8
_MOST_IPS = 16
_LARGEST_DATA = 10 * 1024
_LONGEST = {"interfaceName": 256, "hardwareAddress": 128}
_MOST_BINDING_CONDITIONS = 4
# Upstream's key of a device has no exported fields, so that its JSON shows nothing of it.
_OPAQUE_KEY: dict[str, Any] = {"Driver": {}, "Pool": {}, "Device": {}, "ShareID": {}}
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

DeviceKey = tuple[str, str, str, str]


def _key(device: Object) -> DeviceKey:
    driver, pool, name, share = (checks.text(device.get(field)) for field in ("driver", "pool", "device", "shareID"))
    return driver, pool, name, share


def validate_devices(path: str, devices: Sequence[Object], allocation: Object | None) -> list[FieldError]:
    """What drivers report, which can only be about devices that are allocated."""
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    allocated = {_key(result) for result in results}
    found = [each for index, item in enumerate(devices) for each in _device(f"{path}[{index}]", item, allocated)]
    for index in checks.repeated(map(_key, devices)):
        found.append(errors.duplicate(f"{path}[{index}].deviceID", _OPAQUE_KEY))
    return found


def _device(path: str, device: Object, allocated: set[DeviceKey]) -> list[FieldError]:
    found = _identity(path, device)
    found.extend(_share(path, device))
    if _key(device) not in allocated:
        found.append(errors.invalid_value(path, _OPAQUE_KEY, "must be an allocated device in the claim"))
    reported = device.get("conditions") or []
    if len(reported) > _MOST_CONDITIONS:
        found.append(errors.too_many(f"{path}.conditions", len(reported), _MOST_CONDITIONS))
    found.extend(conditions.validate(f"{path}.conditions", reported))
    if device.get("data") is not None:
        found.extend(_data(f"{path}.data", device["data"]))
    return [*found, *_network(f"{path}.networkData", device.get("networkData") or {})]


def _identity(path: str, device: Object) -> list[FieldError]:
    name = checks.text(device.get("device"))
    return [
        *requests.driver(f"{path}.driver", checks.text(device.get("driver"))),
        *requests.pool(f"{path}.pool", checks.text(device.get("pool"))),
        *checks.complaints(f"{path}.device", name, names.label(name)),
    ]


def _share(path: str, device: Object) -> list[FieldError]:
    share = device.get("shareID")
    if share is None or _UUID.fullmatch(share):
        return []
    text = (
        "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
        "characters"
        if _UUID.fullmatch(share.lower())
        else f"error validating uid: invalid UUID length: {len(share)}"
    )
    return [errors.invalid_value(f"{path}.shareID", share, text)]


def _data(path: str, data: Any) -> list[FieldError]:
    if len(orjson.dumps(data)) > _LARGEST_DATA:
        return [errors.too_long(path, _LARGEST_DATA)]
    if not isinstance(data, dict):
        return [errors.invalid_value(path, "<value omitted>", "must be a valid JSON object")]
    return []


def _network(path: str, data: Object) -> list[FieldError]:
    found = [
        errors.too_long(f"{path}.{name}", limit)
        for name, limit in _LONGEST.items()
        if len(checks.text(data.get(name)).encode()) > limit
    ]
    return [*found, *requests.listed(f"{path}.ips", data.get("ips") or [], _MOST_IPS, _interface_address, "")]


def _interface_address(path: str, value: str) -> list[FieldError]:
    try:
        address = ipaddress.ip_interface(value) if "/" in value else None
    except ValueError:
        address = None
    if address is None:
        text = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        return [errors.invalid_value(path, value, text)]
    canonical = f"{address.ip}/{address.network.prefixlen}"
    if value != canonical:
        return [errors.invalid_value(path, value, f'must be in canonical form ("{canonical}")')]
    return []


def validate_allocation(path: str, allocation: Object, known: Mapping[str, set[str]]) -> list[FieldError]:
    """An allocation that is new. `known` are the claim's requests, with their alternatives."""
    devices = allocation.get("devices") or {}

    def reference(at: str, name: str) -> list[FieldError]:
        return requests.validate_reference(at, name, known)

    def result(at: str, item: Object) -> list[FieldError]:
        found = [*reference(f"{at}.request", checks.text(item.get("request"))), *_identity(at, item)]
        return [*found, *validate_binding(at, item), *_share(at, item)]

    def configuration(at: str, item: Object) -> list[FieldError]:
        source = checks.text(item.get("source"))
        found = [errors.required(f"{at}.source")] if not source else []
        if source:
            found.extend(checks.supported(f"{at}.source", source, ("FromClaim", "FromClass")))
        named = item.get("requests") or []
        found.extend(requests.listed(f"{at}.requests", named, requests.MOST_REQUESTS, reference, ""))
        return [*found, *requests.validate_configuration(at, item)]

    found = requests.listed(f"{path}.devices.results", devices.get("results") or [], _MOST_RESULTS, result)
    limit = 2 * requests.MOST_CONFIGS
    found.extend(requests.listed(f"{path}.devices.config", devices.get("config") or [], limit, configuration))
    if allocation.get("nodeSelector") is not None:
        found.extend(validate_node_selector(allocation["nodeSelector"], f"{path}.nodeSelector"))
    return found


def validate_binding(path: str, device: Object) -> list[FieldError]:
    """Conditions that a device waits for before a pod is bound, and those that end the waiting."""
    wanted, failed = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    at, failed_at = f"{path}.bindingConditions", f"{path}.bindingFailureConditions"
    found = requests.listed(at, wanted, _MOST_BINDING_CONDITIONS, _label_name)
    found.extend(requests.listed(failed_at, failed, _MOST_BINDING_CONDITIONS, _label_name))
    found.extend(errors.duplicate(f"{at}[{index}]", wanted[index]) for index in checks.repeated(wanted))
    again = set(checks.repeated(failed))
    for index, condition in enumerate(failed):
        if index in again:
            found.append(errors.duplicate(f"{failed_at}[{index}]", condition))
        if condition in wanted:
            text = "bindingFailureConditions must not overlap with bindingConditions"
            found.append(errors.invalid_value(f"{failed_at}[{index}]", condition, text))
    if failed and not wanted:
        text = "bindingConditions are required to use bindingFailureConditions"
        found.append(errors.invalid_value(at, None, text))
    if wanted and not failed:
        text = "bindingFailureConditions are required to use bindingConditions"
        found.append(errors.invalid_value(failed_at, None, text))
    return found


def _label_name(path: str, value: str) -> list[FieldError]:
    return checks.complaints(path, value, names.qualified_name(value))
