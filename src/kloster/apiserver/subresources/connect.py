"""log, exec, attach and portforward: what is answered by whoever runs the pod, not from the store.

The API server finds the object, checks what it can, and hands the request to the `NodeConnector` that is plugged in:
the agents of the embedded host, or the syncer's connection to the host cluster. Without one, the answer says so.
"""

from __future__ import annotations

from collections.abc import Awaitable

from kloster.apimachinery import Object, errors
from kloster.apiserver import storage
from kloster.apiserver.call import Call
from kloster.apiserver.subresources import connecting, proxy
from kloster.apiserver.verbs import get
from kloster.client.transport import Response

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")  # in the order in which upstream names them


def pod(call: Call) -> Response | Awaitable[Response]:
    """A stream or a text of one of the pod's containers."""
    return _pod(call) if call.target.subresource == "log" else connecting.admitted(call, "", _pod)


def _pod(call: Call) -> Response | Awaitable[Response]:
    found = storage.thaw(call.resource, get.find(call))
    name = call.target.subresource
    if name in ("log", "exec", "attach"):
        _check_container(found, call.request.param("container"))
    node = (found.get("spec") or {}).get("nodeName")
    if not node:
        if name == "log":
            return Response(204, {"cache-control": "no-cache, private"})
        raise errors.bad_request(f"pod {found['metadata']['name']} does not have a host assigned")
    connector = call.cluster.ports.nodes
    if connector is None:
        raise proxy.nobody(name)
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
