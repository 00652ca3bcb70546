"""Services: the selector is confined to the cluster's pods of the service's namespace; addresses come from the host.

A service's address must be one that works from the pods, so the host assigns it and the virtual service takes it over
(clusterIP is immutable for tenants, not for the syncer). ``default/kubernetes`` belongs to the cluster itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object
from kloster.client.resources import SERVICES
from kloster.syncer import owned
from kloster.syncer.actions import Action, PatchVirtual
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
PORT_FIELDS = ("name", "protocol", "appProtocol", "port", "targetPort")
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
    if virtual is None or host is None or actions or virtual["metadata"].get("deletionTimestamp"):
        return actions
    return _back(virtual, host)


def _is_api_server(virtual: Object) -> bool:
    return (virtual["metadata"]["namespace"], virtual["metadata"]["name"]) == ("default", "kubernetes")


def _back(virtual: Object, host: Object) -> list[Action]:
    """Addresses, node ports and load balancer status as the host has assigned them."""
    actions: list[Action] = []
    spec, live = virtual["spec"], host["spec"]
    patch: Object = {}
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


TRANSLATOR = Translator(SERVICES, "Service", decide)
