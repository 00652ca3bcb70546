"""EndpointSlices: the addresses behind a service, in portions.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import addresses, checks, defaulting, lifecycle, metadata, names
from kloster.kinds import cells as table
from kloster.kinds.strategy import Strategy

_MOST_ENDPOINTS = 1000
_MOST_ADDRESSES = 100
_MOST_PORTS = 20000
_MOST_HINTS = 8
_MOST_TOPOLOGY_LABELS = 16


def _default(slice_: Object) -> None:
    for port in slice_.get("ports") or ():
        defaulting.absent(port, name="", protocol="TCP")


def _drop_topology(endpoints: list[Object] | None) -> None:
    # v1 never takes over the topology labels of v1beta1, whatever a client sends.
    for endpoint in endpoints or ():
        endpoint.pop("deprecatedTopology", None)


def _prepare_create(slice_: Object) -> None:
    lifecycle.first_generation(slice_)
    _drop_topology(slice_.get("endpoints"))


def _prepare_update(new: Object, old: Object) -> None:
    """Generation counts changes of labels as well: consumers select slices by the service's name in a label."""
    fields = ("addressType", "endpoints", "ports")
    changed = any(not metadata.same(new.get(name), old.get(name)) for name in fields)
    if changed or not metadata.same(new["metadata"].get("labels"), old["metadata"].get("labels")):
        lifecycle.next_generation(new, old)
    if not metadata.same(new.get("endpoints"), old.get("endpoints")):
        _drop_topology(new.get("endpoints"))


def _validate(slice_: Object) -> list[FieldError]:
    kind = checks.text(slice_.get("addressType"))
    found: list[FieldError] = []
    if not kind:
        found.append(errors.required("addressType"))
    else:
        found.extend(checks.supported("addressType", kind, ["FQDN", "IPv4", "IPv6"]))
    found.extend(_ports(slice_.get("ports") or []))
    found.extend(_endpoints(slice_.get("endpoints") or [], kind))
    return found


def _ports(ports: list[Object]) -> list[FieldError]:
    if len(ports) > _MOST_PORTS:
        return [errors.too_many("ports", len(ports), _MOST_PORTS)]
    found: list[FieldError] = []
    seen = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", checks.text(port.get("name"))
        if name:
            found.extend(checks.complaints(f"{path}.name", name, names.label(name)))
        if name in seen:
            found.append(errors.duplicate(f"{path}.name", name))
        seen.add(name)
        found.extend(checks.supported(f"{path}.protocol", port.get("protocol"), ["SCTP", "TCP", "UDP"]))
        if (protocol := port.get("appProtocol")) is not None:
            found.extend(checks.complaints(f"{path}.appProtocol", protocol, names.qualified_name(protocol)))
    return found


def _endpoints(endpoints: list[Object], kind: str) -> list[FieldError]:
    if len(endpoints) > _MOST_ENDPOINTS:
        return [errors.too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)]
    found: list[FieldError] = []
    for index, endpoint in enumerate(endpoints):
        found.extend(_endpoint(f"endpoints[{index}]", endpoint, kind))
    return found


def _endpoint(path: str, endpoint: Object, kind: str) -> Iterator[FieldError]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield errors.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MOST_ADDRESSES:
        yield errors.too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES)
    for index, address in enumerate(addresses):
        yield from _address(f"{path}.addresses", index, address, kind)
    if (node := endpoint.get("nodeName")) is not None:
        yield from checks.complaints(f"{path}.nodeName", node, names.subdomain(node))
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > _MOST_TOPOLOGY_LABELS:
        yield errors.too_many(f"{path}.deprecatedTopology", len(topology), _MOST_TOPOLOGY_LABELS)
    yield from metadata.validate_labels(topology, f"{path}.deprecatedTopology")
    if (host := endpoint.get("hostname")) is not None:
        yield from checks.complaints(f"{path}.hostname", host, names.label(host))
    hints = endpoint.get("hints") or {}
    yield from _hints(f"{path}.hints.forZones", hints.get("forZones") or [], names.label_value)
    if len(hints.get("forZones") or ()) <= _MOST_HINTS:
        yield from _hints(f"{path}.hints.forNodes", hints.get("forNodes") or [], names.subdomain)


def _address(path: str, index: int, address: str, kind: str) -> list[FieldError]:
    at = f"{path}[{index}]"
    if kind == "FQDN":
        return checks.fully_qualified_domain(at, address)
    if kind not in ("IPv4", "IPv6"):
        return []
    check = names.ip if kind == "IPv4" else names.canonical_ip
    if found := checks.complaints(at, address, check(address)):
        return found
    ip = names.parse_ip(address)
    assert ip is not None
    if ip.version != (4 if kind == "IPv4" else 6):
        found.append(errors.invalid_value(path, address, f"must be an {kind} address"))
    return [*found, *_reachable(at, address, ip)]


def _reachable(path: str, address: str, ip: names.IPAddress) -> list[FieldError]:
    """Addresses that mean something else on every node cannot be endpoints."""
    texts = []
    if ip.is_unspecified:
        texts.append(f"may not be unspecified ({address})")
    if ip.is_loopback:
        texts.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if ip.is_link_local:
        texts.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip.is_multicast and (ip.packed[:3] == b"\xe0\0\0" or (ip.version == 6 and ip.packed[1] & 15 == 2)):
        texts.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return checks.complaints(path, address, texts)


def _hints(path: str, hints: list[Object], check: names.Check) -> list[FieldError]:
    if len(hints) > _MOST_HINTS:
        return [errors.too_many(path, len(hints), _MOST_HINTS)]
    found = []
    seen = set()
    for index, hint in enumerate(hints):
        at, name = f"{path}[{index}].name", checks.text(hint.get("name"))
        if name in seen:
            found.append(errors.duplicate(at, name))
        seen.add(name)
        found.extend(checks.complaints(at, name, check(name)))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return checks.fixed("addressType", new, old)


def _cells(slice_: Object, now: float) -> list[Any]:
    ports = [
        str(port["port"] if port.get("port") is not None else port.get("name", "*"))
        for port in slice_.get("ports") or ()
    ]
    addresses = [address for endpoint in slice_.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    kind = checks.text(slice_.get("addressType"))
    return [slice_["metadata"]["name"], kind, table.listed(ports), table.listed(addresses), table.age(slice_, now)]


_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    if old is None and new.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    maker = (new["metadata"].get("labels") or {}).get(_MANAGED_BY)
    if minor < 33 or maker in ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"):
        return
    for index, endpoint in enumerate(new.get("endpoints") or ()):
        for number, address in enumerate(endpoint.get("addresses") or ()):
            yield from addresses.ip_warnings(f"endpoints[{index}].addresses[{number}]", address)


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    cells=_cells,
    warn=_warn,
)
