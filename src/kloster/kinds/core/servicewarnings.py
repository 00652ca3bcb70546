"""What Services are warned of: addresses written in odd ways, and fields that have no effect.

Source: https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object
from kloster.kinds import addresses

_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def warn(new: Object, _old: Object | None, minor: int) -> Iterator[str]:
    spec = new["spec"]
    external, kind, ips = spec.get("externalIPs") or (), spec.get("type"), spec.get("clusterIPs") or ()
    headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    if _HINTS in (new["metadata"].get("annotations") or {}):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    if kind != "ExternalName" and spec.get("clusterIP") not in (None, "", "None"):
        for index, ip in enumerate(ips):
            yield from addresses.ip_warnings(f"spec.clusterIPs[{index}]", ip, minor)
    if headless and minor >= 34:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for index, ip in enumerate(external):
        yield from addresses.ip_warnings(f"spec.externalIPs[{index}]", ip, minor)
    if external and minor >= 36 and not headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("loadBalancerIP"):
        yield from addresses.ip_warnings("spec.loadBalancerIP", spec["loadBalancerIP"], minor)
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from addresses.cidr_warnings(f"spec.loadBalancerSourceRanges[{index}]", cidr, minor)
    if kind == "ExternalName" and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if minor >= 35 and spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'
