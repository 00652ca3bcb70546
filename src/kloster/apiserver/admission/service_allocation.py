"""What a Service is given: cluster IPs, node ports, its IP families. Upstream does this in the Service's storage.

An address is free if no other Service has it in the state that the write is decided on, so no separate bookkeeping can
disagree with the Services themselves; where the version has IPAddress objects, one is written and removed in the same
transaction. Addresses and ports that nobody asked for are picked at random from the part of the range that upstream
prefers for that, so that the rest stays for those who ask by number.

Source: https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError, StatusError, invalid_value
from kloster.apiserver import objects, storage
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin
from kloster.kinds.core.servicechecks import needs_health_check_port
from kloster.kinds.core.services import needs_cluster_ip, needs_node_port
from kloster.stores.api import Key, Operation, Put, Remove

HEADLESS = "None"
_SERVICES = "/services"
_ADDRESSES = "networking.k8s.io/ipaddresses"
_NOT_DUAL = "this cluster is not configured for dual-stack services"


def _validate(attempt: Attempt) -> None:
    """IP families, before anything is allocated."""
    _set_families(attempt)


def _allocate(attempt: Attempt) -> None:
    spec = attempt.item["spec"]
    _allocate_address(attempt, spec)
    _allocate_ports(attempt, spec)
    attempt.also.extend(_address_changes(attempt))


def released(attempt: Attempt) -> Sequence[Operation]:
    """What goes with a deleted Service."""
    old = attempt.old or {}
    return [
        Remove(Key(_ADDRESSES, "", address))
        for address in _addresses(old.get("spec") or {})
        if _belongs(attempt, address)
    ]


def _belongs(attempt: Attempt, address: str) -> bool:
    """Whether the IPAddress is this Service's. While addresses are assigned, two may have had the same for a moment."""
    found = attempt.read(_ADDRESSES, "", address)
    parent = ((found or {}).get("spec") or {}).get("parentRef") or {}
    return (parent.get("namespace"), parent.get("name")) == (attempt.namespace, attempt.name)


# --- assignment from outside ---------------------------------------------------------------------------------------

_ASSIGNED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")


def assigned(attempt: Attempt) -> Object:
    """The object that an update is compared with: the old one, as if it had the addresses that are being assigned.

    The services of a virtual cluster have the addresses that the host gave them, so whoever carries them over
    (`User.assigns`) changes what nobody else may.
    """
    old = attempt.old or {}
    if not _assigns(attempt):
        return old
    new, spec = attempt.item.get("spec") or {}, dict(old.get("spec") or {})
    for field in _ASSIGNED:
        if field in new:
            spec[field] = new[field]
        else:
            spec.pop(field, None)
    return {**old, "spec": spec}


def _assigns(attempt: Attempt) -> bool:
    return attempt.user.assigns and attempt.served.id == _SERVICES and not attempt.subresource


# --- IP families --------------------------------------------------------------------------------------------------


def _network(attempt: Attempt) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(attempt.cluster.settings.service_cidr)


def _set_families(attempt: Attempt) -> None:
    spec = attempt.item["spec"]
    if not needs_cluster_ip(spec):
        return
    if _assigns(attempt) and spec.get("ipFamilies"):
        return
    own = f"IPv{_network(attempt).version}"
    headless = spec.get("clusterIP") == HEADLESS
    selectorless = headless and not spec.get("selector")
    found: list[FieldError] = []
    families = spec.get("ipFamilies") or []
    policy = spec.get("ipFamilyPolicy")
    if not selectorless:
        for place, family in enumerate(families):
            if family != own:
                found.append(invalid_value(f"spec.ipFamilies[{place}]", family, "not configured on this cluster"))
        if policy == "RequireDualStack":
            found.append(invalid_value("spec.ipFamilyPolicy", policy, _NOT_DUAL))
    if found:
        raise _invalid(attempt, found)
    if selectorless and not families:
        other = "IPv6" if own == "IPv4" else "IPv4"
        spec["ipFamilies"] = [own, other] if policy != "SingleStack" else [own]
        spec["ipFamilyPolicy"] = policy or "RequireDualStack"
        return
    spec["ipFamilies"] = families or [own]
    spec["ipFamilyPolicy"] = policy or "SingleStack"


def _invalid(attempt: Attempt, found: Sequence[FieldError]) -> StatusError:
    return errors.invalid("", "Service", attempt.name, found)


# --- cluster IPs --------------------------------------------------------------------------------------------------


def _addresses(spec: Object) -> list[str]:
    if not needs_cluster_ip(spec):
        return []
    return [address for address in spec.get("clusterIPs") or () if address and address != HEADLESS]


def _allocate_address(attempt: Attempt, spec: Object) -> None:
    if not needs_cluster_ip(spec):
        return
    if spec.get("clusterIP") == HEADLESS:
        spec["clusterIPs"] = [HEADLESS]
        return
    asked = spec.get("clusterIP")
    if asked and asked in _addresses((attempt.old or {}).get("spec") or {}):
        return
    if asked and _assigns(attempt):
        spec["clusterIPs"] = spec.get("clusterIPs") or [asked]
        return
    taken = _taken_addresses(attempt)
    address = _check_address(attempt, asked, taken) if asked else _free_address(attempt, taken)
    spec["clusterIP"] = address
    spec["clusterIPs"] = [address]


def _taken_addresses(attempt: Attempt) -> frozenset[str]:
    """Read off the selectable field that every Service carries: nothing is decoded."""
    own = (attempt.namespace, attempt.name)
    return frozenset(
        entry.fields.get("spec.clusterIP", "")
        for entry in attempt.view.scan(_SERVICES)
        if (entry.key.namespace, entry.key.name) != own
    )


def _check_address(attempt: Attempt, asked: str, taken: frozenset[str]) -> str:
    network = _network(attempt)
    text = ""
    address = ipaddress.ip_address(asked)
    if address not in network or address == network.network_address:
        text = "the provided network does not match the current range"
    elif asked in taken:
        text = "provided IP is already allocated"
    if text:
        text = f"failed to allocate IP {asked}: {text}"
        raise _invalid(attempt, [invalid_value("spec.clusterIPs", [asked], text)])
    return asked


def _free_address(attempt: Attempt, taken: frozenset[str]) -> str:
    """A free address, from the upper part of the range first."""
    network = _network(attempt)
    usable = min(network.num_addresses, 1 << 16) - 2  # without the first and the last
    reserved = min(max(16, usable // 16), 256) if usable > 16 else 0
    for first, count in ((1 + reserved, usable - reserved), (1, reserved)):
        start = attempt.cluster.random.choice(count) if count > 0 else 0
        for step in range(count):
            address = str(network[first + (start + step) % count])
            if address not in taken:
                return address
    text = "failed to allocate a serviceIP: range is full"
    raise errors.internal(text)


def _address_changes(attempt: Attempt) -> Iterator[Operation]:
    """IPAddress objects for addresses that came, and none for those that went."""
    cluster = attempt.cluster
    served = cluster.resources.lookup("networking.k8s.io", "v1", "ipaddresses")
    if served is None:
        return
    before = set(_addresses((attempt.old or {}).get("spec") or {}))
    after = set(_addresses(attempt.item["spec"]))
    for address in sorted(before - after):
        if _belongs(attempt, address):
            yield Remove(Key(_ADDRESSES, "", address))
    for address in sorted(after - before):
        item = objects.ip_address(address, attempt.namespace, attempt.name)
        made = objects.prepared(served, item, cluster.random.uid(), cluster.clock.now())
        operation: Put = storage.put(served, made)
        yield operation


# --- node ports ---------------------------------------------------------------------------------------------------


def _wants_node_ports(spec: Object) -> bool:
    return needs_node_port(spec) and spec.get("allocateLoadBalancerNodePorts") is not False


def _allocate_ports(attempt: Attempt, spec: Object) -> None:
    ports = spec.get("ports") or []
    health = needs_health_check_port(spec)
    if not health and not (needs_node_port(spec) and (_wants_node_ports(spec) or any("nodePort" in p for p in ports))):
        return
    old = (attempt.old or {}).get("spec") or {}
    mine = _used_ports(old)
    taken = _taken_ports(attempt)
    given: dict[int, set[str]] = {}
    for place, port in enumerate(ports):
        asked = port.get("nodePort")
        if asked:
            _check_port(attempt, f"spec.ports[{place}].nodePort", asked, port, taken, mine, given)
    for port in ports:
        if not port.get("nodePort") and _wants_node_ports(spec):
            port["nodePort"] = _shared_port(ports, port, given) or _free_port(attempt, taken, given)
            given.setdefault(port["nodePort"], set()).add(port.get("protocol", "TCP"))
    if health and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = _free_port(attempt, taken, given)


def _used_ports(spec: Object) -> set[int]:
    used = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        used.add(spec["healthCheckNodePort"])
    return used


def _taken_ports(attempt: Attempt) -> set[int]:
    own = (attempt.namespace, attempt.name)
    taken: set[int] = set()
    for service in attempt.scan(_SERVICES):
        if (service["metadata"]["namespace"], service["metadata"]["name"]) != own:
            taken |= _used_ports(service.get("spec") or {})
    return taken


def _check_port(
    attempt: Attempt, path: str, asked: int, port: Object, taken: set[int], mine: set[int], given: dict[int, set[str]]
) -> None:
    """A port that was asked for. The same number serves several protocols of one port."""
    first, last = attempt.cluster.settings.node_ports
    protocol = port.get("protocol", "TCP")
    text = ""
    if asked not in mine and not first <= asked <= last and not attempt.user.assigns:
        text = f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
    elif (asked in taken and not attempt.user.assigns) or protocol in given.get(asked, ()):
        text = "provided port is already allocated"
    if text:
        raise _invalid(attempt, [invalid_value(path, asked, text)])
    given.setdefault(asked, set()).add(protocol)


def _shared_port(ports: Sequence[Object], port: Object, given: dict[int, set[str]]) -> int:
    """The number that the same port already has for another protocol."""
    protocol = port.get("protocol", "TCP")
    for other in ports:
        number = other.get("nodePort")
        if number and other.get("port") == port.get("port") and protocol not in given.get(number, ()):
            return int(number)
    return 0


def _free_port(attempt: Attempt, taken: set[int], given: dict[int, set[str]]) -> int:
    first, last = attempt.cluster.settings.node_ports
    count = last - first + 1
    start = attempt.cluster.random.choice(count)
    for step in range(count):
        number = first + (start + step) % count
        if number not in taken and number not in given:
            given[number] = set()
            return number
    raise errors.internal("failed to allocate a nodePort: range is full")


PLUGIN = Plugin(
    name="Service",
    operations=frozenset({CREATE, UPDATE}),
    resources=frozenset({_SERVICES}),
    validate=_validate,
    allocate=_allocate,
)
