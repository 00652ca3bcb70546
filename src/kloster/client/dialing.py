"""Connections to a port of a pod: what webhooks and the like that run in a cluster are reached by.

Three ways lead there, behind one port (`Dialer`), and who asks does not know which it is:

    PodAddress     to the pod's address, for who is in the cluster's network
    PortForward    through the API server, which asks the kubelet, for who is not (`client.portforward`)
    (stand-ins)    a test says where on its machine a pod's port is (`apiserver.rehearsal`)

A connection is a connected socket, whatever is behind it, so that TLS is the same everywhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from kloster.apimachinery import Object
from kloster.client import outgoing
from kloster.client.errors import ConnectionFailed


class Dialer(Protocol):
    """Reaches pods of one cluster."""

    def dial(self, pod: Object, port: int) -> AbstractAsyncContextManager[socket.socket]:
        """A connection to `port` of `pod` for as long as the context lasts. Who wants to close the socket detaches it.

        Raises ConnectionFailed in the words of Go's client (``dial tcp IP:PORT: …``), also out of the context, if it
        turns out only later that nobody listens.
        """
        ...


class PodAddress:
    """Goes to where the pod is. Only for pods whose object comes from the cluster that runs them: a tenant can write
    anything into the status of its own."""

    @asynccontextmanager
    async def dial(self, pod: Object, port: int) -> AsyncIterator[socket.socket]:
        where = shown(pod, port)
        if not may_be_reached(pod):
            raise ConnectionFailed(f"dial tcp {where}: the pod has no network of its own, or runs no longer")
        family = ipaddress.ip_address(pod["status"]["podIP"]).version
        made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, (pod["status"]["podIP"], port))
            yield made
        except ConnectionRefusedError as error:
            raise ConnectionFailed(f"dial tcp {where}: connect: connection refused") from error
        except OSError as error:
            raise ConnectionFailed(f"dial tcp {where}: connect: {(error.strerror or str(error)).lower()}") from error
        finally:
            made.close()


def may_be_reached(pod: Object) -> bool:
    """Whether the pod's address is its own: not the node's, and not somebody else's by now."""
    status, address = pod.get("status") or {}, (pod.get("status") or {}).get("podIP", "")
    if (pod.get("spec") or {}).get("hostNetwork") or status.get("phase") != "Running" or not address:
        return False
    return address != status.get("hostIP") and outgoing.is_elsewhere(address)


def shown(pod: Object, port: int) -> str:
    """The pod's address and port, as errors name them."""
    address = (pod.get("status") or {}).get("podIP") or pod["metadata"]["name"]
    return outgoing.shown(address, port)
