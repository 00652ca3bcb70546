"""endpointslice-mirroring-controller: slices for Endpoints that people write by hand.

A Service without selector gets its addresses from an Endpoints object of the same name; whoever routes traffic reads
slices, so what stands there is mirrored: one slice for each subset and address family, owned by the Endpoints.
https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from kloster.runtime.api import Context, Controller, Key, Watch
from kloster.workloads import backends, pods
from kloster.workloads.ownership import controller_reference
from kloster.workloads.podcontrol import namespace_is_terminating

MANAGED_BY = "endpointslicemirroring-controller.k8s.io"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SERVICE_LABEL = "kubernetes.io/service-name"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LARGEST = 1000
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = (backends.TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration")


def wanted_slices(endpoints: Object) -> list[Object]:
    """What the slices hold: addressType, endpoints, ports."""
    found: dict[tuple[str, bytes], Object] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()]
        left = LARGEST
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in (subset.get(field) or ())[:left]:
                left -= 1
                family, entry = _endpoint(address, ready)
                body = {"addressType": family, "endpoints": [], "ports": ports}
                found.setdefault((family, _sign(ports)), body)["endpoints"].append(entry)
    return list(found.values())


def _endpoint(address: Object, ready: bool) -> tuple[str, Object]:
    parsed = ipaddress.ip_address(address["ip"])
    entry: Object = {"addresses": [str(parsed)], "conditions": {"ready": ready}}
    entry.update({field: address[field] for field in ("hostname", "nodeName", "targetRef") if address.get(field)})
    return f"IPv{parsed.version}", entry


def _sign(ports: Sequence[Object] | None) -> bytes:
    return orjson.dumps(list(ports or ()), option=orjson.OPT_SORT_KEYS)


def metadata_for(endpoints: Object) -> Object:
    """Labels, annotations and owner of the slices."""
    metadata = endpoints["metadata"]
    labels = {**(metadata.get("labels") or {}), SERVICE_LABEL: metadata["name"], MANAGED_BY_LABEL: MANAGED_BY}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _NOT_COPIED}
    return {"labels": labels, "annotations": annotations, "ownerReferences": [controller_reference(endpoints)]}


def is_mirrored(endpoints: Object, service: Object | None) -> bool:
    metadata = endpoints["metadata"]
    if service is None or service["spec"].get("selector") or pods.is_deleting(endpoints):
        return False
    return (metadata.get("labels") or {}).get(SKIP) != "true" and _LEADER not in (metadata.get("annotations") or {})


async def reconcile(context: Context, key: Key) -> None:
    endpoints = context.source.get(ENDPOINTS, *key)
    left = [
        item
        for item in context.source.list(ENDPOINT_SLICES, key.namespace)
        if _is_ours(item) and item["metadata"]["labels"].get(SERVICE_LABEL) == key.name and not pods.is_deleting(item)
    ]
    mirrored = endpoints is not None and is_mirrored(endpoints, context.source.get(SERVICES, *key))
    wanted = wanted_slices(endpoints) if endpoints is not None and mirrored else []
    try:
        for body in wanted:
            assert endpoints is not None
            kind = (body["addressType"], _sign(body["ports"]))
            present = next((one for one in left if (one["addressType"], _sign(one.get("ports"))) == kind), None)
            if present is not None:
                left.remove(present)
            await _keep(context, endpoints, body, present)
        for item in left:
            metadata = item["metadata"]
            await context.client.delete(ENDPOINT_SLICES, key.namespace, metadata["name"], uid=metadata["uid"])
    except StatusError as error:
        if error.code == 404 or namespace_is_terminating(error):
            return
        raise


async def _keep(context: Context, endpoints: Object, body: Object, present: Object | None) -> None:
    head = metadata_for(endpoints)
    namespace, name = endpoints["metadata"]["namespace"], endpoints["metadata"]["name"]
    if present is None:
        made = {"generateName": f"{name}-", "namespace": namespace, **head}
        whole = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": made, **body}
        await context.client.create(ENDPOINT_SLICES, whole)
        return
    metadata = present["metadata"]
    same_head = all((metadata.get(field) or {}) == head[field] for field in ("labels", "annotations"))
    if not same_head or (present.get("endpoints") or []) != body["endpoints"]:
        await context.client.update(ENDPOINT_SLICES, {**present, **body, "metadata": {**metadata, **head}})


def _is_ours(item: Object) -> bool:
    return bool((item["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY)


def _of_slice(change: Change) -> Iterable[Key]:
    for item in (change.old, change.new):
        if item is not None and _is_ours(item) and SERVICE_LABEL in item["metadata"]["labels"]:
            yield Key(item["metadata"]["namespace"], item["metadata"]["labels"][SERVICE_LABEL])


def _concerned(change: Change) -> bool:
    """Whether the Service has, or had, no selector."""
    return any(item is not None and not item["spec"].get("selector") for item in (change.old, change.new))


CONTROLLER = Controller(
    "endpointslice-mirroring-controller",
    (
        Watch(ENDPOINTS),
        Watch(SERVICES, relevant=_concerned),
        Watch(ENDPOINT_SLICES, keys=_of_slice),
    ),
    reconcile,
    component="endpoint-slice-mirroring-controller",
)
