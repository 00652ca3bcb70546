"""NetworkPolicies: which traffic pods accept and send.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import addresses, checks, defaulting, names, selector
from kloster.kinds import cells as table
from kloster.kinds.strategy import Strategy

_TYPES = ("Ingress", "Egress")
_DIRECTIONS = (("ingress", "from"), ("egress", "to"))


def _default(policy: Object) -> None:
    spec = defaulting.struct(policy, "spec")
    for direction, _ in _DIRECTIONS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                defaulting.absent(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _rules(spec: Object) -> Iterator[tuple[str, str, Object]]:
    for direction, peers in _DIRECTIONS:
        for index, rule in enumerate(spec.get(direction) or ()):
            yield f"spec.{direction}[{index}]", peers, rule


def _validate(policy: Object) -> list[FieldError]:
    spec = policy.get("spec") or {}
    found = selector.validate(spec.get("podSelector"), "spec.podSelector")
    for path, peers, rule in _rules(spec):
        for index, port in enumerate(rule.get("ports") or ()):
            found.extend(_port(f"{path}.ports[{index}]", port))
        for index, peer in enumerate(rule.get(peers) or ()):
            found.extend(_peer(f"{path}.{peers}[{index}]", peer))
    types = spec.get("policyTypes") or []
    if len(types) > len(_TYPES):
        text = "may not specify more than two policyTypes"
        return [*found, errors.invalid_value("spec.policyTypes", types, text)]
    for index, kind in enumerate(types):
        found.extend(checks.supported(f"spec.policyTypes[{index}]", kind, _TYPES))
    return found


def _port(path: str, item: Object) -> list[FieldError]:
    port, end, protocol = item.get("port"), item.get("endPort"), item.get("protocol")
    found = []
    if protocol is not None:
        found.extend(checks.supported(f"{path}.protocol", protocol, ["TCP", "UDP", "SCTP"]))
    if isinstance(port, str):
        if end is not None:
            text = "may not be specified when `port` is non-numeric"
            found.append(errors.invalid_value(f"{path}.endPort", end, text))
        found.extend(checks.complaints(f"{path}.port", port, names.port_name(port)))
    elif port is not None:
        found.extend(checks.complaints(f"{path}.port", port, names.port(port)))
        if end is not None:
            if end < port:
                text = "must be greater than or equal to `port`"
                found.append(errors.invalid_value(f"{path}.endPort", port, text))
            found.extend(checks.complaints(f"{path}.endPort", end, names.port(end)))
    elif end is not None:
        text = "may not be specified when `port` is not specified"
        found.append(errors.invalid_value(f"{path}.endPort", end, text))
    return found


def _peer(path: str, peer: Object) -> list[FieldError]:
    given = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    found = []
    for name in given:
        if name == "ipBlock":
            found.extend(_block(f"{path}.ipBlock", peer[name]))
        else:
            found.extend(selector.validate(peer[name], f"{path}.{name}"))
    if not given:
        found.append(errors.required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        found.append(errors.forbidden_field(path, "may not specify both ipBlock and another peer"))
    return found


def _block(path: str, block: Object) -> list[FieldError]:
    cidr = checks.text(block.get("cidr"))
    if not cidr:
        return [errors.required(f"{path}.cidr")]
    found = checks.complaints(f"{path}.cidr", cidr, names.cidr(cidr))
    network = names.parse_cidr(cidr)
    if network is None:
        return found
    for index, text in enumerate(block.get("except") or ()):
        at = f"{path}.except[{index}]"
        found.extend(checks.complaints(at, text, names.cidr(text)))
        hole = names.parse_cidr(text)
        if hole is None:
            continue
        inside = hole.network_address in network and network.prefixlen < hole.prefixlen
        if not inside:
            found.append(errors.invalid_value(at, text, "must be a strict subset of `cidr`"))
    return found


def _cells(policy: Object, now: float) -> list[Any]:
    pods = selector.text((policy.get("spec") or {}).get("podSelector"))
    return [policy["metadata"]["name"], pods, table.age(policy, now)]


def _warn(new: Object, _old: Object | None, minor: int) -> Iterator[str]:
    if minor < 33:
        return
    for field, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate((new.get("spec") or {}).get(field) or ()):
            for number, peer in enumerate(rule.get(side) or ()):
                block, path = peer.get("ipBlock") or {}, f"spec.{field}[{index}].{side}[{number}].ipBlock"
                yield from addresses.cidr_warnings(f"{path}.cidr", block.get("cidr", ""))
                for place, cidr in enumerate(block.get("except") or ()):
                    yield from addresses.cidr_warnings(f"{path}.except[{place}]", cidr)


STRATEGY = Strategy(
    default=_default,
    validate=_validate,
    validate_update=checks.again(_validate),
    generation=True,
    cells=_cells,
    warn=_warn,
)
