"""From a Service to a port of one of its pods, for what the API server itself connects to: webhooks.

The model first. Everything that leads there (Service, EndpointSlices, pods' statuses) can be written by whoever may
write webhook configurations, with any address. So addresses are not looked at: an endpoint counts if it is a ready pod
of this cluster (``targetRef``, by its UID), and the connection goes to that pod, wherever it runs (`client.dialing`).
Endpoints that are no pods, which upstream would call by their address, are said to be none; so is a Service that is
but a name (ExternalName). Texts are those of upstream's endpoint routing (--enable-aggregator-routing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kloster.aio.turns import Turn
from kloster.apimachinery import Object
from kloster.apiserver.cluster import ServedCluster

SLICES = "discovery.k8s.io/endpointslices"
SERVICE_LABEL = "kubernetes.io/service-name"
ENOUGH = 1000
"""Endpoints that are chosen from, of those that come first."""
ROUTED = ("ClusterIP", "NodePort", "LoadBalancer")


class Unreachable(Exception):
    """There is no way to the Service. The text is upstream's."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A pod of the cluster, and the number of its port."""

    pod: Object
    port: int


def service_port(cluster: ServedCluster, namespace: str, name: str, port: int) -> Object:
    """The port of the Service that has this number. Raises Unreachable."""
    service = cluster.view.get("/services", namespace, name)
    if service is None:
        raise Unreachable(f'service "{name}" not found')
    kind = service["spec"].get("type") or ROUTED[0]
    if kind not in ROUTED:
        raise Unreachable(f'unsupported service type "{kind}"')
    for one in service["spec"].get("ports") or ():
        if one.get("port") == port:
            found: Object = one
            return found
    raise Unreachable(f'no service port {port} found for service "{name}"')


async def choose(cluster: ServedCluster, namespace: str, name: str, port: Object) -> Backend:
    """One of the pods behind a port of the Service, by chance. Raises Unreachable."""
    found: list[Backend] = []
    strangers: list[str] = []
    turn = Turn()
    for entry in list(cluster.store.scan(SLICES, namespace)):
        if len(found) >= ENOUGH:
            break
        if turn.over():
            await turn.next()
        piece = cluster.view.object(entry)
        if piece is None or (piece["metadata"].get("labels") or {}).get(SERVICE_LABEL) != name:
            continue
        for number in _numbers(piece, port.get("name") or ""):
            for endpoint in _ready(piece):
                pod = _pod(cluster, namespace, endpoint)
                if pod is not None:
                    found.append(Backend(pod, number))
                elif len(strangers) < 3:
                    strangers += endpoint.get("addresses") or ()
    if found:
        return found[cluster.random.choice(len(found))]
    if strangers:
        raise Unreachable(f'no pod of this cluster is behind service "{name}", but {", ".join(strangers[:3])}')
    raise Unreachable(f'no endpoints available for service "{name}"')


def _numbers(piece: Object, name: str) -> Iterator[int]:
    for one in piece.get("ports") or ():
        if (one.get("name") or "") == name and one.get("port"):
            yield one["port"]


def _ready(piece: Object) -> Iterator[Object]:
    for endpoint in piece.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") in (None, True):
            yield endpoint


def _pod(cluster: ServedCluster, namespace: str, endpoint: Object) -> Object | None:
    """The pod that an endpoint is, if it is one of the Service's namespace."""
    target = endpoint.get("targetRef") or {}
    if target.get("kind") != "Pod" or target.get("namespace", namespace) != namespace:
        return None
    pod = cluster.view.get("/pods", namespace, target.get("name", ""))
    return pod if pod is not None and pod["metadata"]["uid"] == target.get("uid") else None
