"""EndpointSlices of services without a selector: the tenant says where traffic goes.

Slices of services with a selector are made on each side by its own controllers from its own pods. A slice that a tenant
wrote by hand crosses, unless it points at addresses that no tenant may reach through the host (loopback, link-local:
the node's metadata service lives there).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import ENDPOINT_SLICES, SERVICES
from kloster.syncer import owned
from kloster.syncer.actions import Action, Report
from kloster.syncer.translator import Refused, Translator, World

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
ENDPOINT_FIELDS = ("addresses", "conditions", "hostname")


def desired(world: World, virtual: Object) -> Object | None:
    """The host slice; None if it is not one that crosses. Raises Refused."""
    metadata = virtual["metadata"]
    name = (metadata.get("labels") or {}).get(SERVICE_NAME, "")
    service = world.lookup(SERVICES, metadata["namespace"], name) if name else None
    if service is None or service["spec"].get("selector"):
        return None
    if metadata["namespace"] == "default" and name == "kubernetes":
        return None
    for endpoint in virtual.get("endpoints") or ():
        for address in endpoint.get("addresses") or ():
            _check(address)
    identity = world.tenancy.identity("EndpointSlice", virtual)
    identity["labels"][SERVICE_NAME] = world.tenancy.name(name, metadata["namespace"])
    identity["labels"][MANAGED_BY] = "kloster.dev"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": identity,
        "addressType": virtual["addressType"],
        "endpoints": [
            {field: one[field] for field in ENDPOINT_FIELDS if field in one} for one in virtual.get("endpoints") or ()
        ],
        "ports": virtual.get("ports") or [],
    }


def _check(address: str) -> None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed  # ::ffff:127.0.0.1 is the node, too
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
        raise Refused(f"endpoint address {address} does not cross to the host: it would mean the node itself")


def decide(world: World, virtual: Object | None, host: Object | None) -> Sequence[Action]:
    try:
        wanted = None if virtual is None else desired(world, virtual)
    except Refused as refusal:
        return [*owned.reconcile(None, host, None), Report("Warning", "SyncRefused", str(refusal))]
    return owned.reconcile(virtual, host, wanted)


def _of_service(change: Change, world: World) -> Sequence[tuple[str, str]]:
    metadata = change.object["metadata"]
    return [
        (metadata["namespace"], one["metadata"]["name"])
        for one in world.virtual_list(ENDPOINT_SLICES, metadata["namespace"])
        if (one["metadata"].get("labels") or {}).get(SERVICE_NAME) == metadata["name"]
    ]


TRANSLATOR = Translator(ENDPOINT_SLICES, "EndpointSlice", decide, {SERVICES: _of_service})
