"""endpoints-controller: the older list of addresses behind a Service with a selector.

https://kubernetes.io/docs/concepts/services-networking/service/#endpoints
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import ENDPOINTS, PODS, SERVICES
from kloster.runtime.api import Context, Controller, Key, Watch
from kloster.workloads import backends, pods
from kloster.workloads.podcontrol import namespace_is_terminating

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_CAPACITY = 1000


def subsets(service: Object, behind: Sequence[Object]) -> list[Object]:
    """Ports grouped by the addresses that have them; of these ready ones apart from the rest."""
    include_deleting = backends.publishes_unready(service)
    by_port: dict[bytes, tuple[list[Object], dict[_Address, Object]]] = {}
    for pod in behind:
        if not backends.is_included(pod, include_deleting):
            continue
        ports = _ports(service, pod)
        if ports is None:
            continue
        address = _address(service, pod)
        key = (address["ip"], address["targetRef"]["uid"], include_deleting or pods.is_ready(pod))
        for port in [[one] for one in ports] or [[]]:  # without ports the addresses stand alone
            by_port.setdefault(orjson.dumps(port), (port, {}))[1][key] = address
    by_addresses: dict[frozenset[_Address], tuple[list[Object], dict[_Address, Object]]] = {}
    for port, entries in by_port.values():
        by_addresses.setdefault(frozenset(entries), ([], entries))[0].extend(port)
    return [_subset(ports, entries) for ports, entries in sorted(by_addresses.values(), key=_order)]


_Address = tuple[str, str, bool]
"""IP, the pod's UID, whether it is ready: addresses are sorted so."""


def _order(found: tuple[list[Object], dict[_Address, Object]]) -> tuple[bytes, list[_Address]]:
    return orjson.dumps(found[0]), sorted(found[1])


def _subset(ports: list[Object], entries: dict[_Address, Object]) -> Object:
    subset: Object = {}
    for name, wanted in (("addresses", True), ("notReadyAddresses", False)):
        chosen = [entries[key] for key in sorted(entries) if key[2] is wanted]
        if chosen:
            subset[name] = chosen
    if ports:
        subset["ports"] = ports
    return subset


def _ports(service: Object, pod: Object) -> list[Object] | None:
    """None: the pod offers none of the Service's ports."""
    wanted = service["spec"].get("ports") or ()
    if not wanted:
        return [] if backends.is_headless(service) else None
    found: list[Object] = []
    for port in wanted:
        number = backends.target_port(pod, port)
        if number is None:
            continue
        entry: Object = {"port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("name"):
            entry = {"name": port["name"], **entry}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        found.append(entry)
    return found or None


def _address(service: Object, pod: Object) -> Object:
    found: Object = {"ip": _ip(service, pod)}
    name = backends.hostname(service, pod)
    if name:
        found["hostname"] = name
    if pod["spec"].get("nodeName"):
        found["nodeName"] = pod["spec"]["nodeName"]
    found["targetRef"] = backends.target_reference(pod)
    return found


def _ip(service: Object, pod: Object) -> str:
    """The pod's address of the Service's first family."""
    known = backends.addresses(pod)
    families = service["spec"].get("ipFamilies") or ()
    if families:
        fitting = [ip for ip in known if (":" in ip) == (families[0] == "IPv6")]
        if fitting:
            return fitting[0]
    return known[0]


def truncated(found: list[Object], capacity: int = _CAPACITY) -> tuple[list[Object], bool]:
    """At most a thousand addresses, ready ones first."""
    count = sum(len(subset.get("addresses") or ()) + len(subset.get("notReadyAddresses") or ()) for subset in found)
    if count <= capacity:
        return found, False
    room = capacity
    cut = [dict(subset) for subset in found]
    for name in ("addresses", "notReadyAddresses"):
        for subset in cut:
            entries = subset.get(name)
            if not entries:
                continue
            subset[name] = entries[:room]
            room -= len(subset[name])
            if not subset[name]:
                del subset[name]
    return cut, True


async def reconcile(context: Context, key: Key) -> None:
    service = context.source.get(SERVICES, *key)
    current = context.source.get(ENDPOINTS, *key)
    if service is None:
        if current is not None and MANAGED_BY in (current["metadata"].get("labels") or {}):
            await _delete(context, current)
        return
    if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
        return
    selected = context.source.list(PODS, key.namespace)
    behind = [pod for pod in selected if backends.selects(service, pod["metadata"].get("labels"))]
    found, is_cut = truncated(subsets(service, behind))
    labels = dict(service["metadata"].get("labels") or {})
    labels.pop(backends.HEADLESS, None)
    if backends.is_headless(service):
        labels[backends.HEADLESS] = ""
    labels[MANAGED_BY] = "endpoint-controller"
    old: Object = current or {}
    metadata = old.get("metadata") or {"name": key.name, "namespace": key.namespace}
    annotations = dict(metadata.get("annotations") or {})
    if (
        current is not None
        and (current.get("subsets") or []) == found
        and (metadata.get("labels") or {}) == labels
        and (_OVER_CAPACITY in annotations) == is_cut
    ):
        return
    annotations.pop(_OVER_CAPACITY, None)
    if is_cut:
        annotations[_OVER_CAPACITY] = "truncated"
    trigger = backends.trigger_time(service, behind)
    if trigger:
        annotations[backends.TRIGGER_TIME] = trigger
    wanted = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {**metadata, "labels": labels, "annotations": annotations},
    }
    if found:
        wanted["subsets"] = found
    await _write(context, service, wanted, create=current is None)


async def _write(context: Context, service: Object, wanted: Object, *, create: bool) -> None:
    metadata = service["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    try:
        if create:
            await context.client.create(ENDPOINTS, wanted)
        else:
            await context.client.update(ENDPOINTS, wanted)
    except StatusError as error:
        if namespace_is_terminating(error):
            return
        if create:
            text = f"Failed to create endpoint for service {name}: {error}"
            context.recorder.event(wanted, "Warning", "FailedToCreateEndpoint", text)
        elif error.code != 409:
            text = f"Failed to update endpoint {name}: {error}"
            context.recorder.event(wanted, "Warning", "FailedToUpdateEndpoint", text)
        raise


async def _delete(context: Context, current: Object) -> None:
    metadata = current["metadata"]
    try:
        await context.client.delete(ENDPOINTS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
    except StatusError as error:
        if error.code not in (404, 409):
            raise


CONTROLLER = Controller(
    "endpoints-controller",
    (Watch(SERVICES), Watch(PODS, lookup=backends.services_of_pod), Watch(ENDPOINTS)),
    reconcile,
    component="endpoint-controller",
)
