"""Services: the selector is confined to the cluster's pods of the service's namespace; addresses come from the host.

A service's address must be one that works from the pods, so the host assigns it and the virtual service takes it over
(clusterIP is immutable for tenants, not for the syncer). Node ports are asked for as the virtual service has them; one
that the host cannot give is replaced by the host's, and an event says so. ``default/kubernetes`` belongs to the cluster
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kloster.apimachinery import Object
from kloster.client.resources import SERVICES
from kloster.syncer import owned
from kloster.syncer.actions import Action, CreateHost, PatchHost, PatchVirtual, Report
from kloster.syncer.translator import Translator, World

COPIED = (
    "type",
    "sessionAffinity",
    "sessionAffinityConfig",
    "externalName",
    "externalTrafficPolicy",
    "internalTrafficPolicy",
    "publishNotReadyAddresses",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "allocateLoadBalancerNodePorts",
    "trafficDistribution",
)
REMOVABLE = ("selector", "externalName", "sessionAffinityConfig", "loadBalancerSourceRanges", "trafficDistribution")
PORT_FIELDS = ("name", "protocol", "appProtocol", "port", "targetPort", "nodePort")
FROM_HOST = ("clusterIP", "clusterIPs", "ipFamilies", "healthCheckNodePort")


def desired(world: World, virtual: Object) -> Object:
    """The host service."""
    spec = virtual["spec"]
    host_spec = {field: spec[field] for field in COPIED if field in spec}
    host_spec["ports"] = [
        {field: port[field] for field in PORT_FIELDS if field in port} for port in spec.get("ports") or ()
    ]
    if spec.get("selector"):
        confined = world.tenancy.labels(spec["selector"])
        identity = world.tenancy.identity("Service", virtual)["labels"]
        host_spec["selector"] = {**confined, **{key: identity[key] for key in owned.SCOPE_LABELS}}
    if spec.get("clusterIP") == "None":
        host_spec["clusterIP"] = "None"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": world.tenancy.identity("Service", virtual),
        "spec": {key: value for key, value in host_spec.items() if value != []},
    }


def decide(world: World, virtual: Object | None, host: Object | None) -> Sequence[Action]:
    if virtual is not None and _is_api_server(virtual):
        virtual = None
    wanted = None if virtual is None else desired(world, virtual)
    if wanted is not None and host is not None:
        wanted["spec"] = {**dict.fromkeys(REMOVABLE), **wanted["spec"]}
    actions = owned.reconcile(virtual, host, wanted)
    if virtual is None or virtual["metadata"].get("deletionTimestamp"):
        return actions
    if actions and wanted is not None and _asks_for_ports(wanted):
        return _with_way_out(virtual, host, wanted, actions)
    return actions if host is None or actions else _back(virtual, host)


def _asks_for_ports(wanted: Object) -> bool:
    return any(port.get("nodePort") for port in wanted["spec"].get("ports") or ())


def _with_way_out(virtual: Object, host: Object | None, wanted: Object, actions: list[Action]) -> list[Action]:
    """The same actions, and what is to be done where the host cannot give the node ports."""
    modest = {
        **wanted,
        "spec": {**wanted["spec"], "ports": [_without_node_port(one) for one in wanted["spec"]["ports"]]},
    }
    instead: Sequence[Action] = owned.reconcile(virtual, host, modest)
    if not instead and host is not None:  # everything else is as it should be: what the host has is what there is
        instead = [_unavailable(virtual, host), *_back(virtual, host)]
    return [
        replace(action, refused=tuple(instead)) if isinstance(action, CreateHost | PatchHost) else action
        for action in actions
    ]


def _without_node_port(port: Object) -> Object:
    return {field: value for field, value in port.items() if field != "nodePort"}


def _unavailable(virtual: Object, host: Object) -> Report:
    asked = [port.get("nodePort") for port in virtual["spec"].get("ports") or ()]
    given = [port.get("nodePort") for port in host["spec"].get("ports") or ()]
    changed = [f"{one}, but {other}" for one, other in zip(asked, given, strict=False) if one != other]
    text = f"The host cannot give node port {'; '.join(changed)}: it is in use there or out of its range"
    return Report("Warning", "NodePortUnavailable", text)


def _is_api_server(virtual: Object) -> bool:
    return (virtual["metadata"]["namespace"], virtual["metadata"]["name"]) == ("default", "kubernetes")


def _back(virtual: Object, host: Object) -> list[Action]:
    """Addresses, node ports and load balancer status as the host has assigned them."""
    actions: list[Action] = []
    spec, live = virtual["spec"], host["spec"]
    patch: Object = {}
    if _asked_for_address(virtual) and live.get("clusterIP") != spec.get("clusterIP"):
        text = f"The host assigns cluster IPs: {live.get('clusterIP')} instead of {spec.get('clusterIP')}"
        actions.append(Report("Warning", "ClusterIPNotCarried", text))
    if spec.get("type") != "ExternalName":
        patch = {field: live.get(field) for field in FROM_HOST if live.get(field) != spec.get(field)}
        ports = [
            {**port, "nodePort": other["nodePort"]} if other.get("nodePort") else port
            for port, other in zip(spec.get("ports") or (), live.get("ports") or (), strict=False)
        ]
        if ports != (spec.get("ports") or []):
            patch["ports"] = ports
    if patch:
        actions.append(PatchVirtual({"spec": patch}))
    balancer = host.get("status", {}).get("loadBalancer") or {}
    if balancer != (virtual.get("status", {}).get("loadBalancer") or {}):
        actions.append(PatchVirtual({"status": {"loadBalancer": balancer}}, "merge", "status"))
    return actions


def _asked_for_address(virtual: Object) -> bool:
    """Whether somebody set the cluster IP: an address that was allocated is owned by nobody."""
    return any(
        "f:clusterIP" in ((one.get("fieldsV1") or {}).get("f:spec") or {})
        for one in virtual["metadata"].get("managedFields") or ()
    )


TRANSLATOR = Translator(SERVICES, "Service", decide)
