"""EndpointSlices of services without a selector: the tenant says where traffic goes.

Slices of services with a selector are made on each side by its own controllers from its own pods. A slice that a tenant
wrote by hand crosses with those of its addresses that are the tenant's own: of host pods of this cluster, as the *host*
knows them. Who may write endpoints may reach, through everything on the host that forwards to services (load balancers,
ingress controllers), whatever these may reach: nodes, other tenants' pods, the metadata service (CVE-2021-25740).

``policies.foreignEndpoints: true`` in the VirtualCluster's spec lets all others cross as well, except those that mean
the node itself.

Source: https://github.com/kubernetes/kubernetes/issues/103675
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import ENDPOINT_SLICES, PODS, SERVICES
from kloster.syncer import owned
from kloster.syncer.actions import Action, Report
from kloster.syncer.translator import Translator, World
from kloster.workloads.pods import is_terminal

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
ENDPOINT_FIELDS = ("addresses", "conditions", "hostname")
_SHOWN = 5


def desired(world: World, virtual: Object) -> tuple[Object | None, list[str]]:
    """(the host slice, None if it is not one that crosses; the addresses that stay behind)."""
    metadata = virtual["metadata"]
    name = (metadata.get("labels") or {}).get(SERVICE_NAME, "")
    service = world.lookup(SERVICES, metadata["namespace"], name) if name else None
    if service is None or service["spec"].get("selector"):
        return None, []
    if metadata["namespace"] == "default" and name == "kubernetes":
        return None, []
    endpoints, refused = _crossing(world, virtual)
    if refused and not endpoints:
        return None, refused
    identity = world.tenancy.identity("EndpointSlice", virtual)
    identity["labels"][SERVICE_NAME] = world.tenancy.name(name, metadata["namespace"])
    identity["labels"][MANAGED_BY] = "kloster.dev"
    wanted = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": identity,
        "addressType": virtual["addressType"],
        "endpoints": endpoints,
        "ports": virtual.get("ports") or [],
    }
    return wanted, refused


def _crossing(world: World, virtual: Object) -> tuple[list[Object], list[str]]:
    """(the endpoints with the addresses that may cross, those that may not)."""
    endpoints = virtual.get("endpoints") or ()
    asked = {address for one in endpoints for address in one.get("addresses") or ()}
    if world.policy.get("foreignEndpoints"):
        allowed = {address for address in asked if not _means_the_node(address)}
    else:
        allowed = asked & _own_addresses(world, asked)
    crossing = []
    for one in endpoints:
        addresses = [address for address in one.get("addresses") or () if address in allowed]
        if addresses:
            crossing.append(
                {**{field: one[field] for field in ENDPOINT_FIELDS if field in one}, "addresses": addresses}
            )
    return crossing, sorted(asked - allowed)


def _own_addresses(world: World, asked: set[str]) -> set[str]:
    """Those of `asked` that the host gave to pods of this cluster. What a virtual pod's status says is the tenant's to
    write: it only tells which host pods to look at."""
    found: set[str] = set()
    for pod in world.virtual_list(PODS, ""):
        if asked.isdisjoint(_addresses(pod)):
            continue
        metadata = pod["metadata"]
        host = world.host_lookup(PODS, world.tenancy.name(metadata["name"], metadata["namespace"]))
        if host is not None and world.tenancy.owns(host) and not host["spec"].get("hostNetwork"):
            found.update(_addresses(host))
    return found


def _addresses(pod: Object) -> set[str]:
    """Those that a pod has. One that has ended has none: somebody else may get them any time."""
    if is_terminal(pod):
        return set()
    status = pod.get("status") or {}
    return {status.get("podIP") or "", *(one.get("ip") or "" for one in status.get("podIPs") or ())} - {""}


def _means_the_node(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed  # ::ffff:127.0.0.1 is the node, too
    return parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast


def decide(world: World, virtual: Object | None, host: Object | None) -> Sequence[Action]:
    wanted, refused = (None, list[str]()) if virtual is None else desired(world, virtual)
    actions: list[Action] = [*owned.reconcile(virtual, host, wanted)]
    if refused:
        actions.append(
            Report("Warning", "SyncRefused", _explained(refused, bool(world.policy.get("foreignEndpoints"))))
        )
    return actions


def _explained(refused: Sequence[str], foreign: bool) -> str:
    more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    listed = f"endpoint addresses {', '.join(refused[:_SHOWN])}{more} do not cross to the host: "
    if foreign:
        return f"{listed}they would mean the node itself"
    return (
        f"{listed}they are not addresses of this cluster's pods. "
        "Have the cluster created with policies.foreignEndpoints: true if it needs others"
    )


def _of_service(change: Change, world: World) -> Sequence[tuple[str, str]]:
    metadata = change.object["metadata"]
    return [
        (metadata["namespace"], one["metadata"]["name"])
        for one in world.virtual_list(ENDPOINT_SLICES, metadata["namespace"])
        if (one["metadata"].get("labels") or {}).get(SERVICE_NAME) == metadata["name"]
    ]


def _of_pod(change: Change, world: World) -> Iterable[tuple[str, str]]:
    """The slices that hold an address which a pod has got or lost."""
    old, new = (set[str]() if pod is None else _addresses(pod) for pod in (change.old, change.new))
    changed = old ^ new
    if not changed:
        return ()
    return [
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in world.virtual_list(ENDPOINT_SLICES, "")
        if any(not changed.isdisjoint(endpoint.get("addresses") or ()) for endpoint in one.get("endpoints") or ())
    ]


TRANSLATOR = Translator(
    ENDPOINT_SLICES,
    "EndpointSlice",
    decide,
    {SERVICES: _of_service, PODS: _of_pod},
    on_host={PODS: _of_pod},
)
