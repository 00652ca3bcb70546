"""Streams of a tenant's pod (logs, exec, attach, port-forward, proxy) go to its host pod.

The virtual API server has checked the tenant's permission; here the URL is rewritten to the host pod, and bytes pass
through. The tenant's credentials never travel: the request is made with the syncer's own. Errors are told in the
tenant's words.
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError, bad_request, not_found
from kloster.client.resources import PODS
from kloster.client.transport import Request, Response
from kloster.syncer import texts
from kloster.syncer.hub import HostHub, owned
from kloster.syncer.names import UID, Tenancy

DROPPED = ("authorization", "host", "cookie", "content-length", "transfer-encoding", "forwarded")
DROPPED_PREFIXES = ("impersonate-", "x-remote-", "x-forwarded-")
"""What says, or could say to some proxy on the way, who asks."""


class HostConnector:
    """The virtual API server's way to pods (`apiserver.cluster.NodeConnector`)."""

    def __init__(self, hub: HostHub, tenancy: Tenancy) -> None:
        self._hub = hub
        self._tenancy = tenancy

    async def connect(self, request: Request, subresource: str, pod: Object) -> Response:
        """Ask the host. Raises 404 if the pod is not there (any more)."""
        # Nothing of the tenant's path goes on: what follows must not lead out of the host pod.
        host_pod = self._host_pod(pod)
        return await self._ask(request, f"{self._path(host_pod['metadata']['name'])}/{subresource}", pod, host_pod)

    async def proxy_pod(self, request: Request, path: str, pod: Object, scheme: str, port: str) -> Response:
        """A request to the host pod. Raises 400 for a path that leads out of it."""
        if any(part in (".", "..") for part in path.replace("\\", "/").split("/")) or "/" in port:
            raise bad_request(f"the path {path} is not clean; leave out . and ..")
        host_pod = self._host_pod(pod)
        name = host_pod["metadata"]["name"]
        place = f"{scheme}:{name}:{port}" if scheme else f"{name}:{port}" if port else name
        return await self._ask(request, f"{self._path(place)}/proxy{path}", pod, host_pod)

    def _path(self, place: str) -> str:
        return PODS.path(self._tenancy.namespace, place)

    def _host_pod(self, pod: Object) -> Object:
        """Raises 404 if it is not there (any more)."""
        metadata = pod["metadata"]
        name = self._tenancy.name(metadata["name"], metadata["namespace"])
        host_pod = owned(self._hub, self._tenancy, PODS, name)
        if host_pod is None or host_pod["metadata"]["annotations"].get(UID) != metadata["uid"]:
            raise not_found("", "pods", metadata["name"])
        return host_pod

    async def _ask(self, request: Request, path: str, pod: Object, host_pod: Object) -> Response:
        headers = {
            key: value
            for key, value in request.headers.items()
            if key not in DROPPED and not key.startswith(DROPPED_PREFIXES)
        }
        answer = await self._hub.client.transport(Request(request.method, path, request.query, headers, request.body))
        if answer.status >= 400 and answer.stream is None:
            known = texts.names(self._tenancy, pod, host_pod)
            answer.body = texts.clean(answer.body.decode("utf-8", "replace"), known).encode()
            answer.headers = {key: value for key, value in answer.headers.items() if key != "content-length"}
        return answer

    async def proxy_node(self, request: Request, path: str, node: Object) -> Response:
        """A tenant's node is a view; its kubelet belongs to the host."""
        raise StatusError(403, "Forbidden", "the kubelets of the host are not reachable from a virtual cluster")
