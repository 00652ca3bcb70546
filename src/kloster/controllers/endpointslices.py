"""endpointslice-controller: the addresses behind a Service, in slices of at most a hundred.

A slice has one address family and one set of ports. Pods that are being deleted stay listed (serving, terminating)
until they end. Slices are changed as little as possible: endpoints stay where they are, new ones fill slices with
room, and an empty Service keeps one empty slice.
https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from kloster.runtime.api import Context, Controller, Key, Watch, only_read
from kloster.workloads import backends, ownership, pods
from kloster.workloads.podcontrol import namespace_is_terminating

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGED_BY = "endpointslice-controller.k8s.io"
LARGEST = 100
_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Group:
    """What one set of slices is to hold: an address family, ports and endpoints."""

    family: str
    ports: list[Object]
    endpoints: list[Object]


@dataclass(slots=True)
class Plan:
    """Slices to create (without metadata), to update and to delete."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def families(service: Object) -> list[str]:
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return list(spec["ipFamilies"])
    address = spec.get("clusterIP") or ""
    return ["IPv6" if ":" in address else "IPv4"]


def endpoint(service: Object, pod: Object, node: Object | None, family: str) -> Object | None:
    """The pod as an endpoint; None if it has no address of the family."""
    fitting = [ip for ip in backends.addresses(pod) if (":" in ip) == (family == "IPv6")]
    if not fitting:
        return None
    serving, terminating = pods.is_ready(pod), pods.is_deleting(pod)
    ready = backends.publishes_unready(service) or (serving and not terminating)
    found: Object = {
        "addresses": fitting[:1] if not backends.is_headless(service) else fitting,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
    }
    name = backends.hostname(service, pod)
    if name:
        found["hostname"] = name
    found["targetRef"] = backends.target_reference(pod)
    if pod["spec"].get("nodeName"):
        found["nodeName"] = pod["spec"]["nodeName"]
    zone = ((node or {}).get("metadata") or {}).get("labels", {}).get(_ZONE)
    if zone:
        found["zone"] = zone
    return found


def ports(service: Object, pod: Object) -> list[Object]:
    """The Service's ports as this pod has them. Those that it does not have are left out."""
    found: list[Object] = []
    for port in service["spec"].get("ports") or ():
        number = backends.target_port(pod, port)
        if number is None:
            continue
        entry: Object = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        found.append(entry)
    return found


def _sign(ports: Sequence[Object] | None) -> bytes:
    """The same for the same ports, whatever the order of their fields."""
    return orjson.dumps(list(ports or ()), option=orjson.OPT_SORT_KEYS)


def plan(existing: Sequence[Object], groups: Sequence[Group], wanted_families: Sequence[str]) -> Plan:
    """How to turn the existing slices into what the groups hold."""
    found = Plan()
    wanted = {(group.family, _sign(group.ports)): group for group in groups}
    by_group: dict[tuple[str, bytes], list[Object]] = {}
    for item in existing:
        key = (item["addressType"], _sign(item.get("ports")))
        by_group.setdefault(key, []).append(item)
    spare: dict[str, list[Object]] = {}
    for key, items in by_group.items():
        if key not in wanted:
            spare.setdefault(key[0], []).extend(items)
    for key, group in wanted.items():
        _fill(group, by_group.get(key, []), spare.setdefault(group.family, []), found)
    for family, items in spare.items():
        if family in wanted_families and not any(group.family == family for group in groups) and items:
            keep = items.pop(0)
            if keep.get("endpoints") or keep.get("ports"):
                found.update.append({**keep, "endpoints": [], "ports": []})
        found.delete += items
    for family in wanted_families:
        if not any(group.family == family for group in groups) and not any(key[0] == family for key in by_group):
            found.create.append({"addressType": family, "endpoints": [], "ports": []})
    return found


def _fill(group: Group, slices: Sequence[Object], spare: list[Object], found: Plan) -> None:
    """Keep endpoints where they are, put new ones where there is room, then into spare or new slices."""
    missing = {entry["targetRef"]["uid"]: entry for entry in group.endpoints}
    contents: list[tuple[Object, list[Object]]] = []
    for item in slices:
        kept: list[Object] = []
        for entry in item.get("endpoints") or ():
            uid = (entry.get("targetRef") or {}).get("uid", "")
            if uid in missing:
                kept.append(missing.pop(uid))
        contents.append((item, kept))
    new = list(missing.values())
    # The fullest slice first: whole slices are rarer to be touched than nearly empty ones.
    for _, kept in sorted(contents, key=lambda pair: -len(pair[1])):
        room = LARGEST - len(kept)
        kept += new[:room]
        del new[:room]
    emptied = [item for item, kept in contents if not kept]
    for item, kept in contents:
        if kept and kept != (item.get("endpoints") or []):
            found.update.append({**item, "endpoints": kept, "ports": group.ports})
    if not group.endpoints and emptied:
        keep = emptied.pop(0)
        if keep.get("endpoints"):
            found.update.append({**keep, "endpoints": [], "ports": group.ports})
    found.delete += emptied
    while new:
        body = {"addressType": group.family, "endpoints": new[:LARGEST], "ports": group.ports}
        del new[:LARGEST]
        if spare:
            found.update.append({**spare.pop(0), **body})
        else:
            found.create.append(body)


def labels_of(service: Object) -> dict[str, str]:
    """The Service's labels, then those by which slices are found."""
    reserved = (SERVICE_LABEL, MANAGED_BY_LABEL, backends.HEADLESS)
    found = {key: value for key, value in (service["metadata"].get("labels") or {}).items() if key not in reserved}
    if backends.is_headless(service):
        found[backends.HEADLESS] = ""
    found[MANAGED_BY_LABEL] = MANAGED_BY
    found[SERVICE_LABEL] = service["metadata"]["name"]
    return found


async def reconcile(context: Context, key: Key) -> None:
    service = context.source.get(SERVICES, *key)
    if service is None or service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
        return
    if pods.is_deleting(service):
        return
    selected = context.source.list(PODS, key.namespace)
    behind = [
        pod
        for pod in selected
        if backends.selects(service, pod["metadata"].get("labels")) and backends.is_included(pod, True)
    ]
    existing = [
        item
        for item in context.source.list(ENDPOINT_SLICES, key.namespace)
        if _is_ours(item, key.name) and not pods.is_deleting(item)
    ]
    decided = plan(existing, _groups(context, service, behind), families(service))
    trigger = backends.trigger_time(service, behind)
    changed = {item["metadata"]["uid"] for item in (*decided.update, *decided.delete)}
    decided.update += [
        item
        for item in existing
        if item["metadata"]["uid"] not in changed and item["metadata"].get("labels") != labels_of(service)
    ]
    await _carry_out(context, service, decided, trigger)


def _groups(context: Context, service: Object, behind: Sequence[Object]) -> list[Group]:
    found: dict[tuple[str, bytes], Group] = {}
    for family in families(service):
        for pod in behind:
            node = context.source.get(NODES, "", pod["spec"].get("nodeName") or "")
            entry = endpoint(service, pod, node, family)
            if entry is None:
                continue
            offered = ports(service, pod)
            if not offered and not backends.is_headless(service):
                continue
            group = found.setdefault((family, _sign(offered)), Group(family, offered, []))
            group.endpoints.append(entry)
    return list(found.values())


async def _carry_out(context: Context, service: Object, decided: Plan, trigger: str | None) -> None:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    annotations = {backends.TRIGGER_TIME: trigger} if trigger else {}
    try:
        for body in decided.create:
            metadata = {
                "generateName": f"{name}-",
                "namespace": namespace,
                "labels": labels_of(service),
                "annotations": annotations,
                "ownerReferences": [ownership.controller_reference(service)],
            }
            head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
            await context.client.create(ENDPOINT_SLICES, {**head, **body})
        for item in decided.update:
            metadata = {
                **item["metadata"],
                "labels": labels_of(service),
                "annotations": {**(item["metadata"].get("annotations") or {}), **annotations},
            }
            await context.client.update(ENDPOINT_SLICES, {**item, "metadata": metadata})
        for item in decided.delete:
            await context.client.delete(
                ENDPOINT_SLICES, namespace, item["metadata"]["name"], uid=item["metadata"]["uid"]
            )
    except StatusError as error:
        if error.code == 404 or namespace_is_terminating(error):
            return
        if error.code != 409:
            text = f"Error updating Endpoint Slices for Service {namespace}/{name}: {error}"
            context.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", text)
        raise


def _is_ours(item: Object, service: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    return labels.get(SERVICE_LABEL) == service and labels.get(MANAGED_BY_LABEL) == MANAGED_BY


def _of_slice(change: Change) -> Iterable[Key]:
    for item in (change.old, change.new):
        labels = (item or {}).get("metadata", {}).get("labels") or {}
        if labels.get(MANAGED_BY_LABEL) == MANAGED_BY and SERVICE_LABEL in labels:
            yield Key(change.object["metadata"]["namespace"], labels[SERVICE_LABEL])


CONTROLLER = Controller(
    "endpointslice-controller",
    (
        Watch(SERVICES),
        Watch(PODS, lookup=backends.services_of_pod),
        Watch(ENDPOINT_SLICES, keys=_of_slice),
        Watch(NODES, relevant=only_read),
    ),
    reconcile,
    component="endpoint-slice-controller",
)
