"""Services: a stable address for a set of pods. (Validation: `servicechecks`, `servicechanges`.)

The spec is a union with ``type`` as its discriminator, and some of its fields are allocated (cluster IPs, node ports,
health check ports). Allocation is the API server's (it needs to know what is taken); here stand the defaults that need
no allocation, and what an update drops when the type changes.
Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import defaulting, lifecycle, metadata
from kloster.kinds.core import servicechanges, servicechecks, servicewarnings
from kloster.kinds.core.servicechecks import externally_accessible, needs_health_check_port
from kloster.kinds.strategy import Strategy

AFFINITY_TIMEOUT = 10800
"""Seconds that a client sticks to its pod under ClientIP affinity (three hours)."""


def _default(service: Object) -> None:
    spec = defaulting.struct(service, "spec")
    defaulting.empty(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_TIMEOUT}}
    for port in spec.get("ports") or ():
        defaulting.empty(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    kind = spec["type"]
    if externally_accessible(spec):
        defaulting.empty(spec, externalTrafficPolicy="Cluster")
    if kind == "ExternalName":  # was defaulted here, too, once; upstream hides it since
        spec.pop("internalTrafficPolicy", None)
    elif kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        defaulting.absent(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        defaulting.absent(spec, allocateLoadBalancerNodePorts=True)
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                defaulting.absent(ingress, ipMode="VIP")


def needs_cluster_ip(spec: Object) -> bool:
    return spec.get("type") != "ExternalName"


def needs_node_port(spec: Object) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def _node_ports(spec: Object) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _drop_type_dependent(service: Object, new: Object, old: Object) -> None:
    """Drops what the old type needed and the new one does not, unless the writer changed it in the same breath.

    A changed value is kept, so that validation refuses it rather than that it disappears.
    """

    def drop(*fields: str) -> None:
        if all(metadata.same(new.get(field), old.get(field)) for field in fields):
            for field in fields:
                new.pop(field, None)

    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        drop("clusterIP", "clusterIPs")
        drop("ipFamilies")
        drop("ipFamilyPolicy")
    if needs_node_port(old) and not needs_node_port(new) and _node_ports(new) <= _node_ports(old):
        for port in new.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_check_port(old) and not needs_health_check_port(new):
        drop("healthCheckNodePort")
    if old.get("type") == "LoadBalancer" != new.get("type"):
        drop("allocateLoadBalancerNodePorts")
        drop("loadBalancerClass")
    if externally_accessible(old) and not externally_accessible(new):
        drop("externalTrafficPolicy")
    if new.get("type") != "LoadBalancer" and service.get("status"):
        service["status"]["loadBalancer"] = {}


def _prepare_create(service: Object) -> None:
    lifecycle.clear_status(service)
    spec = service.get("spec") or {}
    if spec.get("clusterIP") and not spec.get("clusterIPs"):  # a client from before the plural
        spec["clusterIPs"] = [spec["clusterIP"]]


def _keep_allocated(new: Object, old: Object) -> None:
    """Fills in what was allocated and the writer left out, so that one can send the same manifest again."""
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        for field in ("clusterIP", "clusterIPs"):
            if not new.get(field) and old.get(field):
                new[field] = old[field]
    if needs_node_port(old) and needs_node_port(new):
        used = _node_ports(old) & _node_ports(new)
        by_name = {port.get("name", ""): port.get("nodePort") for port in old.get("ports") or ()}
        for port in new.get("ports") or ():
            known = by_name.get(port.get("name", ""))
            if not port.get("nodePort") and known and known not in used:
                port["nodePort"] = known
    if needs_health_check_port(old) and needs_health_check_port(new) and not new.get("healthCheckNodePort"):
        lifecycle.restore(new, old, "healthCheckNodePort")


def _align_cluster_ips(new: Object, old: Object) -> None:
    """clusterIP and clusterIPs follow each other for clients that know only one of them."""
    single, before = new.get("clusterIP") or "", old.get("clusterIP") or ""
    plural, plural_before = new.get("clusterIPs") or [], old.get("clusterIPs") or []
    if single == before:
        if plural_before and not plural:
            new["clusterIPs"] = list(plural_before)
    elif plural == plural_before:
        if before and not single:
            new.pop("clusterIPs", None)
        else:
            new["clusterIPs"] = [single]


def _prepare_update(new: Object, old: Object) -> None:
    spec, before = defaulting.struct(new, "spec"), old.get("spec") or {}
    _keep_allocated(spec, before)
    _align_cluster_ips(spec, before)
    lifecycle.keep_status(new, old)
    _drop_type_dependent(new, spec, before)


def _external_ip(spec: Object, status: Object) -> str:
    listed: list[str] = []
    kind = spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind not in ("ClusterIP", "NodePort", "LoadBalancer"):
        return "<unknown>"
    if kind == "LoadBalancer":
        ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
        listed = sorted({entry.get("ip") or entry.get("hostname") or "" for entry in ingress} - {""})
    listed = [*listed, *(spec.get("externalIPs") or ())]
    return ",".join(listed) or ("<pending>" if kind == "LoadBalancer" else "<none>")


def _port(port: Object) -> str:
    number = f"{port.get('port', 0)}"
    if port.get("nodePort"):
        number += f":{port['nodePort']}"
    return f"{number}/{port.get('protocol', '')}"


def _cells(service: Object, now: float) -> list[Any]:
    spec = service.get("spec") or {}
    return [
        service["metadata"]["name"],
        spec.get("type", ""),
        (spec.get("clusterIPs") or ["<none>"])[0],
        _external_ip(spec, service.get("status") or {}),
        ",".join(_port(port) for port in spec.get("ports") or ()) or "<none>",
        table.age(service, now),
        table.labels(spec.get("selector")),
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    validate=servicechecks.validate,
    validate_update=servicechanges.validate_update,
    validate_status=servicechecks.validate_status,
    name="label-1035",
    status=True,
    create_on_update=True,
    returns_deleted=True,
    cells=_cells,
    fields={
        "spec.clusterIP": lambda service: str((service.get("spec") or {}).get("clusterIP", "")),
        "spec.type": lambda service: str((service.get("spec") or {}).get("type", "")),
    },
    warn=servicewarnings.warn,
)
