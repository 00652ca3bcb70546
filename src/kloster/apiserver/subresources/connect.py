"""log, exec, attach, portforward and proxy: what is answered by whoever runs the pod, not from the store.

The API server finds the object, checks what it can, and hands the request to the `NodeConnector` that is plugged in:
the agents of the embedded host, or the syncer's connection to the host cluster. Without one, the answer says so.
"""

from __future__ import annotations

from collections.abc import Awaitable

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import storage
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import get
from kloster.client.transport import Response
from kloster.stores.api import Key

_NODES = "/nodes"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")  # in the order in which upstream names them


def pod(call: Call) -> Response | Awaitable[Response]:
    """A stream or a text of one of the pod's containers."""
    found = storage.thaw(call.resource, get.find(call))
    name = call.target.subresource
    if name in ("log", "exec", "attach"):
        _check_container(found, call.request.param("container"))
    node = (found.get("spec") or {}).get("nodeName")
    if not node and name != "proxy":
        if name == "log":
            return Response(200, {"content-type": "text/plain", "cache-control": "no-cache, private"})
        raise errors.bad_request(f"pod {found['metadata']['name']} does not have a host assigned")
    connector = call.cluster.ports.nodes
    if connector is None:
        raise _nobody(name)
    return connector.connect(call.request, name, found)


def _check_container(pod: Object, wanted: str) -> None:
    """A container that is named must be one of the pod's; the name may be left out where there is but one."""
    name, spec = pod["metadata"]["name"], pod.get("spec") or {}
    known = [one["name"] for key in _CONTAINERS for one in spec.get(key) or ()]
    if wanted:
        if wanted not in known:
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
    elif len(spec.get("containers") or ()) != 1:
        choice = f", choose one of: [{' '.join(known)}]" if spec.get("containers") else ""
        raise errors.bad_request(f"a container name must be specified for pod {name}{choice}")


def node(call: Call) -> Response | Awaitable[Response]:
    """nodes/proxy: the kubelet's own API."""
    found = storage.thaw(call.resource, get.find(call))
    connector = call.cluster.ports.nodes
    if connector is None:
        raise _nobody("proxy")
    return connector.proxy_node(call.request, _rest(call), found)


def service(call: Call) -> Response | Awaitable[Response]:
    """services/proxy: a request to one of the service's endpoints. ``scheme:name:port`` names the port."""
    parts = call.target.name.split(":")
    name = parts[1] if len(parts) == 3 else parts[0]
    served = call.resource
    if call.cluster.store.get(Key(served.id, call.target.namespace, name)) is None:
        raise storage.missing(served, name)
    raise errors.unavailable(f'no endpoints available for service "{call.target.name}"', 0)


def _rest(call: Call) -> str:
    """The path behind ``proxy``."""
    return call.target.path.partition("/proxy")[2] or "/"


def _nobody(what: str) -> StatusError:
    text = f"no node of this cluster can answer {what!r}: it has no connection to its nodes"
    return errors.unavailable(text, 0)
