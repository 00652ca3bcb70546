"""Connections to a port of a tenant's pod lead to its host pod, and nowhere else.

What a tenant's objects say of addresses is never looked at: the tenant can write it. The host pod is found by the name
and the marks that the syncer gave it and by the UID of the very virtual pod that it stands for, and what the host says
of it counts. A pod in the node's network is none that may be reached: its ports are the node's.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from kloster.apimachinery import Object
from kloster.client.dialing import Dialer, shown
from kloster.client.errors import ConnectionFailed
from kloster.client.portforward import NotForwarded
from kloster.client.resources import PODS
from kloster.syncer import texts
from kloster.syncer.hub import HostHub, owned
from kloster.syncer.names import UID, Tenancy

log = structlog.get_logger(__name__)

SIMULATED = 501
"""The embedded host's answer for pods that run nothing. It is Kloster's own text; what else a host says of its nodes
and of who asks it is not for tenants."""


class HostDialer:
    """A `Dialer` of a virtual cluster's pods, over `way` to the host's."""

    def __init__(self, hub: HostHub, tenancy: Tenancy, way: Dialer) -> None:
        self._hub = hub
        self._tenancy = tenancy
        self._way = way

    @asynccontextmanager
    async def dial(self, pod: Object, port: int) -> AsyncIterator[socket.socket]:
        """Raises ConnectionFailed in the tenant's words."""
        metadata = pod["metadata"]
        name = self._tenancy.name(metadata["name"], metadata["namespace"])
        host_pod = owned(self._hub, self._tenancy, PODS, name)
        if host_pod is None or host_pod["metadata"]["annotations"].get(UID) != metadata["uid"]:
            raise ConnectionFailed(f"dial tcp {shown(pod, port)}: connect: no route to host")
        if host_pod["spec"].get("hostNetwork"):
            text = "the pod is in its node's network, where the API server of a virtual cluster connects to nothing"
            raise ConnectionFailed(f"dial tcp {shown(pod, port)}: {text}")
        try:
            async with self._way.dial(host_pod, port) as made:
                yield made
        except NotForwarded as error:
            if error.status != SIMULATED:
                log.warning("a pod's port cannot be reached", pod=name, port=port, error=str(error))
                raise ConnectionFailed(f"dial tcp {shown(pod, port)}: the host does not forward this port") from error
            raise ConnectionFailed(texts.clean(str(error), texts.names(self._tenancy, pod, host_pod))) from error
        except ConnectionFailed as error:
            raise ConnectionFailed(texts.clean(str(error), texts.names(self._tenancy, pod, host_pod))) from error
