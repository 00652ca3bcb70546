"""What a fresh cluster contains, as operations for a store.

`template` makes what all clusters of a Kubernetes version may share: roles and bindings, priority classes, flow
schemas, API services. It becomes the bottom layer, prepared once. `own` makes what each cluster must have for itself:
the namespaces (many tools take the UID of kube-system for the cluster's), the kubernetes Service with its address,
and the ConfigMap from which aggregated API servers learn whom to trust.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings and what a real
server of the version contains (packaged data).
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apiserver import objects, storage
from kloster.apiserver.cluster import Random, Settings
from kloster.apiserver.resources import Served, built_in
from kloster.kinds.catalog import Catalog
from kloster.stores.api import Put

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_OWN = frozenset({"Namespace", "Service", "IPAddress", "ServiceCIDR", "ConfigMap"})
_UIDS = uuid.UUID("6f1f2a52-5e0f-4b65-9d43-0a5a5f2e6c11")


def template(catalog: Catalog, now: float) -> list[Put]:
    """The shared objects. UIDs depend on nothing but the version and the object's name."""
    made = []
    for item in catalog.bootstrap:
        if item["kind"] not in _OWN:
            meta = item["metadata"]
            path = "/".join((catalog.minor, item["kind"], meta.get("namespace", ""), meta["name"]))
            made.append(_put(catalog, _since(item, now), str(uuid.uuid5(_UIDS, path)), now))
    return made


def _since(item: Object, now: float) -> Object:
    """The item with the times of its conditions, which packaged data leave out."""
    status = item.get("status") or {}
    if not status.get("conditions"):
        return item
    conditions = [{**one, "lastTransitionTime": rfc3339(now)} for one in status["conditions"]]
    return {**item, "status": {**status, "conditions": conditions}}


def endpoints(catalog: Catalog, random: Random, now: float, address: str, port: int) -> list[Put]:
    """Where the kubernetes Service leads to, for an API server that is reached at `address` itself."""
    about = {"name": "kubernetes", "namespace": "default"}
    listening = {"name": "https", "port": port, "protocol": "TCP"}
    items: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {**about, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address}], "ports": [listening]}],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**about, "labels": {"kubernetes.io/service-name": "kubernetes"}, "generation": 1},
            "addressType": objects.family(address),
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [listening],
        },
    ]
    return [_put(catalog, item, random.uid(), now) for item in items]


def own(
    catalog: Catalog,
    settings: Settings,
    random: Random,
    now: float,
    *,
    client_ca: str,
    requestheader_ca: str | None = "",
    api_port: int = 6443,
) -> list[Put]:
    """The objects of one cluster. CAs are PEM texts; `api_port` is where the kubernetes Service's traffic goes.

    requestheader_ca   who signs front proxies; empty: the same as clients, None: no front proxy is trusted
    """
    items = [
        *(_namespace(name) for name in NAMESPACES),
        *_addresses(catalog, settings, api_port, now),
        authentication(client_ca, client_ca if requestheader_ca == "" else requestheader_ca or ""),
    ]
    return [_put(catalog, item, random.uid(), now) for item in items]


def _namespace(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
    }


def service_address(settings: Settings) -> str:
    """The first address of the service range: the kubernetes Service's."""
    return str(ipaddress.ip_network(settings.service_cidr)[1])


def _addresses(catalog: Catalog, settings: Settings, api_port: int, now: float) -> Iterator[Object]:
    address = service_address(settings)
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": [objects.family(address)],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": api_port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }
    if catalog.lookup("networking.k8s.io", "v1", "ipaddresses") is None:
        return
    yield objects.ip_address(address, "default", "kubernetes")
    text = "Kubernetes default Service CIDR is ready"
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(now), "reason": "", "message": text}
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [settings.service_cidr]},
        "status": {"conditions": [ready]},
    }


def authentication(client_ca: str, requestheader_ca: str) -> Object:
    """The ConfigMap from which aggregated API servers learn whom to trust; an empty CA: nobody."""
    front_proxy = {
        "requestheader-allowed-names": '["front-proxy"]',
        "requestheader-client-ca-file": requestheader_ca,
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": client_ca, **(front_proxy if requestheader_ca else {})},
    }


def _put(catalog: Catalog, item: Object, uid: str, now: float) -> Put:
    served = _served(catalog, item)
    return storage.put(served, objects.prepared(served, item, uid, now))


def _served(catalog: Catalog, item: Object) -> Served:
    group, _, version = item["apiVersion"].rpartition("/")
    kind = catalog.by_kind(group, version, item["kind"])
    served = None if kind is None else built_in(catalog).lookup(group, version, kind.plural)
    if served is None:
        raise LookupError(f"Kubernetes {catalog.minor} does not serve {item['apiVersion']} {item['kind']}")
    return served
