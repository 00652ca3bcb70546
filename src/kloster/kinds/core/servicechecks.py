"""Validation of Services.

Allocation comes after validation here (upstream allocates first), so what is allocated may still be absent.
Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
)
from kloster.kinds import addresses, checks, metadata, names
from kloster.kinds.podspec.containers import PROTOCOLS
from kloster.kinds.podspec.probes import validate_port
from kloster.kinds.podspec.status import dual_stack

SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
_LONGEST_AFFINITY = 86400
_ONLY_LOAD_BALANCERS = "may only be used when `type` is 'LoadBalancer'"


def externally_accessible(spec: Object) -> bool:
    """Whether traffic from outside the cluster can reach the service."""
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_headless(spec: Object) -> bool:
    return spec.get("clusterIPs") == ["None"]


def validate_status(new: Object, old: Object) -> Iterable[FieldError]:
    status = (new.get("status") or {}).get("loadBalancer") or {}
    before = (old.get("status") or {}).get("loadBalancer") or {}
    yield from validate_load_balancer(status, before, "status.loadBalancer", old.get("spec") or {})


def validate_load_balancer(status: Object, old: Object, path: str, spec: Object) -> Iterable[FieldError]:
    ingress = status.get("ingress") or ()
    if ingress and spec.get("type") != "LoadBalancer":
        yield forbidden_field(f"{path}.ingress", "may only be used when `spec.type` is 'LoadBalancer'")
        return
    known = {entry.get("ip") for entry in old.get("ingress") or ()}
    for index, entry in enumerate(ingress):
        at, ip, mode = f"{path}.ingress[{index}]", entry.get("ip") or "", entry.get("ipMode")
        if ip and ip not in known:
            yield from checks.complaints(f"{at}.ip", ip, names.ip(ip))
        if mode is None and ip:
            yield required(f"{at}.ipMode", "must be specified when `ip` is set")
        elif mode is not None and not ip:
            yield forbidden_field(f"{at}.ipMode", "may not be specified when `ip` is not set")
        elif mode is not None:
            yield from checks.supported(f"{at}.ipMode", mode, ("Proxy", "VIP"))
        host = entry.get("hostname") or ""
        if host:
            yield from checks.complaints(f"{at}.hostname", host, names.subdomain(host))
            if names.parse_ip(host):
                yield invalid_value(f"{at}.hostname", host, "must be a DNS name, not an IP address")


def validate(service: Object) -> Iterable[FieldError]:
    """Findings about a service. Upstream allocates addresses first, and then reports nothing else that is wrong."""
    spec = service.get("spec") or {}
    addressing = list(validate_cluster_ips(spec))
    return addressing or _validate(service, spec)


def _validate(service: Object, spec: Object) -> Iterable[FieldError]:
    annotations = service["metadata"].get("annotations") or {}
    mode, hints = annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_HINTS)
    if mode is not None and hints is not None and mode != hints:
        text = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
        yield invalid_value(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, text)
    kind, ports = spec.get("type") or "", spec.get("ports") or []
    if not ports and not is_headless(spec) and kind != "ExternalName":
        yield required("spec.ports")
    yield from _validate_kind(spec, kind)
    yield from _validate_ports(ports)
    yield from metadata.validate_labels(spec.get("selector"), "spec.selector")
    yield from _validate_affinity(spec)
    for index, ip in enumerate(spec.get("externalIPs") or ()):
        at = f"spec.externalIPs[{index}]"
        yield from checks.complaints(at, ip, names.ip(ip)) or addresses.validate_endpoint(ip, at)
    if kind:
        valid = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
        yield from checks.supported("spec.type", kind, valid)
    else:
        yield required("spec.type")
    yield from _validate_port_numbers(spec, ports, kind)
    yield from _validate_source_ranges(spec, annotations, kind)
    yield from _validate_load_balancer_fields(spec, kind)
    yield from _validate_traffic(spec, kind)


def _validate_kind(spec: Object, kind: str) -> Iterable[FieldError]:
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        yield invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield forbidden_field(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        yield from checks.complaints("spec.externalName", name, names.subdomain(name))
    else:
        yield required("spec.externalName")


def _validate_ports(ports: Sequence[Object]) -> Iterable[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"spec.ports[{index}]", port.get("name") or ""
        if name:
            yield from checks.complaints(f"{at}.name", name, names.label(name))
            if name in seen:
                yield duplicate(f"{at}.name", name)
            seen.add(name)
        elif len(ports) > 1:
            yield required(f"{at}.name")
        number = port.get("port") or 0
        yield from checks.complaints(f"{at}.port", number, names.port(number))
        if port.get("protocol"):
            yield from checks.supported(f"{at}.protocol", port["protocol"], PROTOCOLS)
        else:
            yield required(f"{at}.protocol")
        yield from validate_port(port.get("targetPort", 0), f"{at}.targetPort")
        if port.get("appProtocol") is not None:
            value = port["appProtocol"]
            yield from checks.complaints(f"{at}.appProtocol", value, names.qualified_name(value))


def _validate_affinity(spec: Object) -> Iterable[FieldError]:
    kind, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    if not kind:
        yield required("spec.sessionAffinity")
    else:
        yield from checks.supported("spec.sessionAffinity", kind, ("ClientIP", "None"))
    if kind == "ClientIP":
        at, seconds = "spec.sessionAffinityConfig", ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None:
            yield required(f"{at}.clientIP.timeoutSeconds", "when session affinity type is ClientIP")
        elif not 0 < seconds <= _LONGEST_AFFINITY:
            text = f"must be greater than 0 and less than {_LONGEST_AFFINITY}"
            yield invalid_value(f"{at}.clientIP.timeoutSeconds", seconds, text)
    elif kind == "None" and config is not None:
        yield forbidden_field("spec.sessionAffinityConfig", "must not be set when session affinity is None")


def validate_cluster_ips(spec: Object) -> Iterable[FieldError]:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, as far as they are given."""
    if spec.get("type") == "ExternalName":
        return
    ip, ips, at = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], "spec.clusterIPs"
    families = spec.get("ipFamilies") or []
    if ip and not ips:
        yield required(at)
    elif ip and ips[0] != ip:
        yield invalid_value(at, ips, "first value must match `clusterIP`")
    elif ips and not ip:
        yield invalid_value(at, ips, "must be empty when `clusterIP` is not specified")
    repeated = set(checks.repeated(families))
    for index, family in enumerate(families):
        yield from checks.supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
        if index in repeated:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
    if spec.get("ipFamilyPolicy") is not None:
        valid = ("PreferDualStack", "RequireDualStack", "SingleStack")
        yield from checks.supported("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], valid)
    yield from _validate_each_ip(ips, families, at)


def _validate_each_ip(ips: list[str], families: list[str], at: str) -> Iterable[FieldError]:
    wrong: list[FieldError] = []
    for index, ip in enumerate(ips):
        if index == 0 and ip == "None":
            if len(ips) > 1:
                wrong.append(invalid_value(at, ips, "'None' must be the first and only value"))
            continue
        wrong.extend(checks.complaints(f"{at}[{index}]", ip, names.ip(ip)))
    yield from wrong
    if len(ips) > 2:
        yield invalid_value(at, ips, "may only hold up to 2 values")
    if wrong:
        return
    if len(ips) > 1 and not dual_stack(ips):
        yield invalid_value(at, ips, "may specify no more than one IP for each IP family")
    if ips == ["None"]:
        return
    for index, (ip, family) in enumerate(zip(ips, families, strict=False)):
        address = names.parse_ip(ip)
        actual = "IPv6" if address is not None and address.version == 6 else "IPv4"
        if family in ("IPv4", "IPv6") and actual != family:
            text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid_value(f"{at}[{index}]", ip, text)


def _validate_port_numbers(spec: Object, ports: Sequence[Object], kind: str) -> Iterable[FieldError]:
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                text = "may not be used when `type` is 'ClusterIP'"
                yield forbidden_field(f"spec.ports[{index}].nodePort", text)
    taken: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("nodePort"))
        if port.get("nodePort") and key in taken:
            yield duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])
        taken.add(key)
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": port.get("protocol"),
                "AppProtocol": None,
                "Port": port.get("port"),
                "TargetPort": 0,
                "NodePort": 0,
            }
            yield duplicate(f"spec.ports[{index}]", shown)
        seen.add(key)


def _validate_source_ranges(spec: Object, annotations: Object, kind: str) -> Iterable[FieldError]:
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges:
        at = "spec.LoadBalancerSourceRanges"
        if kind != "LoadBalancer":
            yield forbidden_field(at, _ONLY_LOAD_BALANCERS)
        for index, value in enumerate(ranges):
            yield from checks.complaints(f"{at}[{index}]", value.strip(), names.cidr(value.strip()))
    elif SOURCE_RANGES in annotations:
        at, text = f"metadata.annotations[{SOURCE_RANGES}]", annotations[SOURCE_RANGES].strip()
        if kind != "LoadBalancer":
            yield forbidden_field(at, _ONLY_LOAD_BALANCERS)
        for value in text.split(",") if text else ():
            yield from checks.complaints(at, value.strip(), names.cidr(value.strip()))


def _validate_load_balancer_fields(spec: Object, kind: str) -> Iterable[FieldError]:
    allocate, class_name = spec.get("allocateLoadBalancerNodePorts"), spec.get("loadBalancerClass")
    if kind != "LoadBalancer":
        if allocate is not None:
            yield forbidden_field("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCERS)
        if class_name is not None:
            yield forbidden_field("spec.loadBalancerClass", _ONLY_LOAD_BALANCERS)
        return
    if allocate is None:
        yield required("allocateLoadBalancerNodePorts")
    if class_name is not None:
        yield from checks.complaints("spec.loadBalancerClass", class_name, names.qualified_name(class_name))


def _validate_traffic(spec: Object, kind: str) -> Iterable[FieldError]:
    external, internal = spec.get("externalTrafficPolicy") or "", spec.get("internalTrafficPolicy")
    if externally_accessible(spec):
        if external:
            yield from checks.supported("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
        else:
            yield required("spec.externalTrafficPolicy")
    elif external:
        text = "may only be set for externally-accessible services"
        yield invalid_value("spec.externalTrafficPolicy", external, text)
    port = spec.get("healthCheckNodePort") or 0
    if port and not needs_health_check_port(spec):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid_value("spec.healthCheckNodePort", port, text)
    elif port:
        yield from checks.complaints("spec.healthCheckNodePort", port, names.port(port))
    if internal is not None:
        yield from checks.supported("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    elif kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        yield required("spec.internalTrafficPolicy")
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        valid = ("PreferClose", "PreferSameZone", "PreferSameNode")
        yield from checks.supported("spec.trafficDistribution", distribution, valid)
