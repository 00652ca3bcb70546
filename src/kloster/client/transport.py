"""Requests and responses, and the seam between who asks and who answers.

`Transport` is the single seam: the HTTP client, the in-process pipeline and recorded answers implement it.
The API server's pipeline works on the same two classes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from kloster.apimachinery import Object


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as authentication found out. `extra` maps names to values (authentication.k8s.io UserInfo).

    assigns    a part of Kloster itself that may set what the API server otherwise allocates (a Service's addresses).
               Only who calls in process can say so: no certificate, token or header is ever read into it
    """

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)
    assigns: bool = False

    def info(self) -> Object:
        """As UserInfo of the API (authentication.k8s.io/v1)."""
        found: Object = {"username": self.name}
        if self.uid:
            found["uid"] = self.uid
        if self.groups:
            found["groups"] = list(self.groups)
        if self.extra:
            found["extra"] = {name: list(values) for name, values in self.extra.items()}
        return found


@dataclass(slots=True)
class Request:
    """One request.

    path       percent-decoded path, for example ``/api/v1/namespaces/default/pods``
    query      decoded pairs in the order given; a name may occur several times
    headers    lower-case name → value; a repeated header's values are joined with ``, ``
    body       the whole body
    user       set by a trusted transport (in-process); over the network authentication decides
    peer_certificate   DER of a client certificate whose chain the TLS layer has verified against this cluster's CA
    remote     the peer's address for the audit log
    prefix     what stood before `path` on an address that clusters share (``/clusters/NAMESPACE/NAME``)
    """

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User | None = None
    peer_certificate: bytes | None = None
    remote: str = ""
    prefix: str = ""

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default


@dataclass(slots=True)
class Response:
    """One answer: a whole body, a stream of chunks, or an upgraded connection.

    body      the whole body; used when `stream` is None
    stream    chunks, sent with back-pressure until it ends or the peer leaves (then it is closed with aclose)
    upgrade   101: takes over the connection; `status` is 101 and `headers` say the protocol
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    upgrade: Callable[[Duplex], Awaitable[None]] | None = None


class Duplex(Protocol):
    """A raw two-way connection after an upgrade."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, waiting while the peer is slow."""
        ...

    async def close(self) -> None: ...


class Transport(Protocol):
    """Answers requests of one cluster on behalf of one identity."""

    async def __call__(self, request: Request) -> Response: ...

    async def aclose(self) -> None: ...
