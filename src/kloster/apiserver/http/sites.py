"""Which cluster a connection or a request is for.

A *site* is one cluster as the listeners see it: a handler, and TLS material from which a context is made when the
first handshake needs one. The *directory* finds sites; the fleet implements it. Three ways lead to a cluster:

    its own port       every connection to the port is for it
    SNI                on the common address, the name in the ClientHello; client certificates are asked for
    /clusters/NS/NAME  on the common address without (known) SNI; no client certificates, hence tokens only

The way is decided before TLS begins (port, SNI) or by the path of each request, never by both: on a connection that
belongs to a site a path is the cluster's own, whatever it says.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from kloster.apimachinery import errors
from kloster.apiserver.http import tls
from kloster.client.transport import Request, Response

Handler = Callable[[Request], Response | Awaitable[Response]]
"""Answers a request: at once with a Response (no task is made), or with an awaitable of one."""


class Site(Protocol):
    """One cluster, as the listeners see it."""

    @property
    def name(self) -> str:
        """Identifies the cluster in logs and for `Server.close_site`, for example ``NAMESPACE/NAME``."""
        ...

    @property
    def handler(self) -> Handler: ...

    def ssl_context(self) -> ssl.SSLContext:
        """The context for a handshake that begins now."""
        ...


class Directory(Protocol):
    """Finds the site that a connection or path is for. All answers come from memory, at once."""

    @property
    def common(self) -> Site:
        """TLS of the common address without SNI, and who answers there for paths outside ``/clusters/``."""
        ...

    def by_port(self, port: int) -> Site | None: ...

    def by_host(self, name: str) -> Site | None:
        """`name` as in the ClientHello, in lower case."""
        ...

    def by_path(self, namespace: str, name: str) -> Site | None: ...


@dataclass(slots=True)
class LazySite:
    """A site whose TLS context exists only while somebody needs it."""

    name: str
    handler: Handler
    material: Callable[[], tls.Material]
    _context: ssl.SSLContext | None = None

    def ssl_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls.server_context(self.material())
        return self._context

    @property
    def holds_context(self) -> bool:
        return self._context is not None

    def forget(self) -> None:
        """Drop the context: the cluster went idle, or its certificates changed. Open connections keep theirs."""
        self._context = None


PREFIX = "/clusters/"


def by_path(directory: Directory, path: str) -> tuple[Site, str, str]:
    """Site, path within the cluster, and the prefix taken off it. Raises StatusError 404 for an unknown cluster."""
    parts = split_cluster_path(path)
    if parts is None:
        return directory.common, path, ""
    namespace, name, rest = parts
    site = directory.by_path(namespace, name)
    if site is None:
        raise errors.path_not_found()
    return site, rest, f"{PREFIX}{namespace}/{name}"


def split_cluster_path(path: str) -> tuple[str, str, str] | None:
    """(namespace, name, rest) of a path below ``/clusters/``, before percent-decoding; None if it is no such path.

    The split is done on the undecoded path: an encoded slash or dot never takes part in choosing a cluster.
    """
    if not path.startswith(PREFIX):
        return None
    parts = path[len(PREFIX) :].split("/", 2)
    if len(parts) < 2 or not parts[0] or not parts[1]:
        return None
    return parts[0], parts[1], "/" + (parts[2] if len(parts) == 3 else "")
