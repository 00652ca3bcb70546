"""Objects that the API server itself writes: complete with identity, times, defaults and ownership."""

from __future__ import annotations

import ipaddress

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.apply import track_update
from kloster.apimachinery.schema.decode import decode
from kloster.apiserver import storage
from kloster.apiserver.resources import Served

MANAGER = "kube-apiserver"


def prepared(served: Served, item: Object, uid: str, now: float) -> Object:
    """`item`, as it was written by the API server at `now`."""
    made = decode(served.kind.type, item).object
    made = storage.to_storage(served, {**made, "kind": served.kind.kind, "apiVersion": served.kind.api_version})
    meta = made["metadata"]
    meta["uid"] = uid
    meta["creationTimestamp"] = rfc3339(now)
    if served.strategy.generation:
        meta["generation"] = 1
    namespace = made["kind"] == "Namespace"  # its spec and status are nobody's
    if not namespace:
        served.strategy.default(made)
    fields = track_update(
        None,
        made,
        served.storage.type,
        manager=MANAGER,
        api_version=served.storage.api_version,
        now=rfc3339(now),
    )
    if fields:
        meta["managedFields"] = fields
    if namespace:
        served.strategy.prepare_create(made)
    return made


def family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def ip_address(address: str, namespace: str, service: str) -> Object:
    """The IPAddress that records which Service has an address."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address,
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family(address),
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": service}},
    }
