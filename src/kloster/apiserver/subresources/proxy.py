"""pods/proxy, services/proxy and nodes/proxy: an HTTP request to what listens in a pod, or to a node's kubelet.

The object's name in the path may say more: ``NAME``, ``NAME:PORT`` or ``SCHEME:NAME:PORT``. Whoever runs the pod makes
the connection (`NodeConnector`); here it is found out which pod and which port are meant.
Source: https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import storage
from kloster.apiserver.call import Call
from kloster.apiserver.cluster import NodeConnector
from kloster.apiserver.subresources import connecting
from kloster.client.transport import Response
from kloster.stores.api import Key

_SCHEMES = ("", "http", "https")


@dataclass(frozen=True, slots=True)
class Place:
    """What the path names. `port` is a number, a name, or empty."""

    scheme: str
    name: str
    port: str


def place(text: str) -> Place | None:
    """Read ``[SCHEME:]NAME[:PORT]``; None if it is not that."""
    parts = text.split(":")
    if len(parts) == 1:
        parts = ["", text, ""]
    elif len(parts) == 2:
        parts = ["", *parts]
    if len(parts) != 3 or parts[0] not in _SCHEMES or not parts[1]:
        return None
    return Place(*parts)


def pod(call: Call) -> Response | Awaitable[Response]:
    """A request to what listens in the pod."""
    return connecting.admitted(call, rest(call), _pod)


def _pod(call: Call) -> Response | Awaitable[Response]:
    where = _place(call, "pod")
    found = _get(call, where.name)
    if not (found.get("status") or {}).get("podIP"):
        raise errors.bad_request("address not allowed")
    return _connect(call, found, where.scheme, where.port or _first_port(found))


def _first_port(found: Object) -> str:
    for container in found["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            return str(port["containerPort"])
    return ""


def service(call: Call) -> Response | Awaitable[Response]:
    """A request to one of the service's pods."""
    return connecting.admitted(call, rest(call), _service)


def _service(call: Call) -> Response | Awaitable[Response]:
    where = _place(call, "service")
    found = _get(call, where.name)
    port = where.port
    if port.isdecimal():
        names = [one.get("name", "") for one in found["spec"].get("ports") or () if str(one["port"]) == port]
        if not names:
            raise errors.unavailable(f'no service port {port} found for service "{where.name}"', 0)
        port = names[0]
    endpoints = call.cluster.view.get("/endpoints", call.target.namespace, where.name)
    if endpoints is None:
        raise errors.not_found("", "endpoints", where.name)
    if not endpoints.get("subsets"):
        raise errors.unavailable(f'no endpoints available for service "{where.name}"', 0)
    behind = list(_behind(call, endpoints, port))
    if not behind:
        raise errors.unavailable(f'no endpoints available for service "{call.target.name}"', 0)
    chosen, number = behind[call.cluster.random.choice(len(behind))]
    return _connect(call, chosen, where.scheme, str(number))


def _behind(call: Call, endpoints: Object, port: str) -> Iterator[tuple[Object, int]]:
    """The ready pods behind the port of that name, each with the port's number there."""
    for subset in endpoints["subsets"]:
        numbers = [one["port"] for one in subset.get("ports") or () if one.get("name", "") == port]
        for address in subset.get("addresses") or () if numbers else ():
            target = address.get("targetRef") or {}
            found = call.cluster.view.get("/pods", target.get("namespace", ""), target.get("name", ""))
            if found is not None and found["metadata"]["uid"] == target.get("uid"):
                yield found, numbers[0]


def node(call: Call) -> Response | Awaitable[Response]:
    """The kubelet's own API."""
    return connecting.admitted(call, rest(call), _node)


def _node(call: Call) -> Response | Awaitable[Response]:
    found = _get(call, _place(call, "node").name)
    return _connector(call).proxy_node(call.request, rest(call), found)


def rest(call: Call) -> str:
    """The path behind ``proxy``, empty or beginning with a slash."""
    target = call.target
    return target.path.partition(f"/{target.resource}/{target.name}/proxy")[2]


def _place(call: Call, kind: str) -> Place:
    found = place(call.target.name)
    if found is None:
        raise errors.bad_request(f'invalid {kind} request "{call.target.name}"')
    return found


def _get(call: Call, name: str) -> Object:
    served = call.resource
    entry = call.cluster.store.get(Key(served.id, call.target.namespace if served.namespaced else "", name))
    if entry is None:
        raise storage.missing(served, name)
    return storage.thaw(served, entry)


def _connect(call: Call, found: Object, scheme: str, port: str) -> Response | Awaitable[Response]:
    return _connector(call).proxy_pod(call.request, rest(call), found, scheme, port)


def _connector(call: Call) -> NodeConnector:
    connector = call.cluster.ports.nodes
    if connector is None:
        raise nobody("proxy")
    return connector


def nobody(what: str) -> StatusError:
    """There is no way to what runs the cluster's pods."""
    text = f"no node of this cluster can answer {what!r}: it has no connection to its nodes"
    return errors.unavailable(text, 0)
