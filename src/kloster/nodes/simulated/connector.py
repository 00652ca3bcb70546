"""Logs, exec and the like on simulated nodes: nothing runs there, so the answer says what to do instead."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.transport import Request, Response

WHAT = {
    "log": "has no logs",
    "exec": "cannot run commands",
    "attach": "cannot be attached to",
    "portforward": "has nobody listening on its ports",
    "proxy": "cannot be reached",
}
INSTEAD = (
    "its containers are simulated and nothing runs in them; "
    "use a host with real nodes for logs, exec and traffic, see docs/limits.md; in tests a process can stand in for "
    "what the API server calls, see cluster.pods.serve"
)


class SimulatedConnector:
    """The API server's way to pods (`apiserver.cluster.NodeConnector`)."""

    async def connect(self, request: Request, subresource: str, pod: Object) -> Response:
        """Refuse, with what to do instead."""
        name = pod["metadata"]["name"]
        raise StatusError(501, "NotImplemented", f'pod "{name}" {WHAT[subresource]}: {INSTEAD}')

    async def proxy_pod(self, request: Request, path: str, pod: Object, scheme: str, port: str) -> Response:
        """Refuse, with what to do instead."""
        return await self.connect(request, "proxy", pod)

    async def proxy_node(self, request: Request, path: str, node: Object) -> Response:
        """Refuse, with what to do instead."""
        name = node["metadata"]["name"]
        raise StatusError(501, "NotImplemented", f'node "{name}" has no kubelet: {INSTEAD}')
