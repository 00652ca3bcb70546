"""Endpoints: the older list of a Service's addresses, by subsets that share ports.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, required
from kloster.kinds import addresses, checks, defaulting, names
from kloster.kinds import cells as table
from kloster.kinds.podspec.containers import PROTOCOLS
from kloster.kinds.strategy import Strategy


def _default(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            defaulting.empty(port, protocol="TCP")


def _validate(endpoints: Object) -> Iterable[FieldError]:
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        at, ports = f"subsets[{index}]", subset.get("ports") or ()
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(at, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for position, address in enumerate(subset.get(field) or ()):
                yield from _validate_address(address, f"{at}.{field}[{position}]")
        for position, port in enumerate(ports):
            yield from _validate_port(port, len(ports) > 1, f"{at}.ports[{position}]")


def _validate_address(address: Object, path: str) -> Iterable[FieldError]:
    ip, host, node = address.get("ip") or "", address.get("hostname") or "", address.get("nodeName")
    yield from checks.complaints(f"{path}.ip", ip, names.ip(ip))
    if host:
        yield from checks.complaints(f"{path}.hostname", host, names.label(host))
    if node is not None:
        yield from checks.complaints(f"{path}.nodeName", node, names.subdomain(node))
    yield from addresses.validate_endpoint(ip, f"{path}.ip")


def _validate_port(port: Object, needs_name: bool, path: str) -> Iterable[FieldError]:
    name, number = port.get("name") or "", port.get("port") or 0
    if name:
        yield from checks.complaints(f"{path}.name", name, names.label(name))
    elif needs_name:
        yield required(f"{path}.name")
    yield from checks.complaints(f"{path}.port", number, names.port(number))
    if port.get("protocol"):
        yield from checks.supported(f"{path}.protocol", port["protocol"], PROTOCOLS)
    else:
        yield required(f"{path}.protocol")
    if port.get("appProtocol") is not None:
        protocol = port["appProtocol"]
        yield from checks.complaints(f"{path}.appProtocol", protocol, names.qualified_name(protocol))


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _addresses(endpoints: Object) -> str:
    if not endpoints.get("subsets"):
        return "<none>"
    listed: list[str] = []
    for subset in endpoints["subsets"]:
        ips = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports")
        if not ports:  # headless services need none
            listed.extend(ips)
        for port in ports or ():
            listed.extend(_joined(ip, port.get("port", 0)) for ip in ips)
    return table.listed(listed) if listed else ""


def _cells(endpoints: Object, now: float) -> list[Any]:
    return [endpoints["metadata"]["name"], _addresses(endpoints), table.age(endpoints, now)]


_MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def _warn(new: Object, _old: Object | None, minor: int) -> Iterator[str]:
    if minor < 33 or (new["metadata"].get("labels") or {}).get(_MANAGED_BY) == "endpoint-controller":
        return
    for index, subset in enumerate(new.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                yield from addresses.ip_warnings(f"subsets[{index}].{field}[{number}].ip", address.get("ip", ""))


STRATEGY = Strategy(
    default=_default,
    validate=_validate,
    create_on_update=True,
    cells=_cells,
    warn=_warn,
)
