"""A directory of two clusters with certificates of their own, and raw clients."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from kloster.apiserver.http import tls
from kloster.apiserver.http.connections import Limits
from kloster.apiserver.http.server import Server
from kloster.apiserver.http.sites import Handler, LazySite
from kloster.apiserver.pki import Authority, Pair
from kloster.client.transport import Request, Response

HOST = "127.0.0.1"


def echo(request: Request) -> Response:
    """Answers with what the server understood."""
    certificate = b"cert" if request.peer_certificate else b"none"
    line = f"{request.method} {request.path} {request.query} {len(request.body)} ".encode() + certificate
    return Response(200, {"Content-Type": "text/plain"}, line)


class Cluster:
    """CA, site and an admin's certificate."""

    def __init__(self, name: str, handler: Handler, trusted: bool = True) -> None:
        self.authority = Authority.create(name, time.time())
        serving = self.authority.serving(["127.0.0.1", f"{name}.test"], time.time())
        ca = self.authority.certificate.decode() if trusted else ""
        self.site = LazySite(name, handler, lambda: tls.Material(serving.certificate, serving.key, ca))

    def admin(self) -> Pair:
        return self.authority.client("admin", ["system:masters"], time.time())


class Directory:
    def __init__(self, handler: Handler) -> None:
        self.a = Cluster("a", handler)
        self.b = Cluster("b", handler)
        self.shared = Cluster("common", handler, trusted=False)
        self.ports: dict[int, LazySite] = {}

    @property
    def common(self) -> LazySite:
        return self.shared.site

    def by_port(self, port: int) -> LazySite | None:
        return self.ports.get(port)

    def by_host(self, name: str) -> LazySite | None:
        return {"a.test": self.a.site, "b.test": self.b.site}.get(name)

    def by_path(self, namespace: str, name: str) -> LazySite | None:
        return {("ns", "a"): self.a.site, ("ns", "b"): self.b.site}.get((namespace, name))


@asynccontextmanager
async def serving(handler: Handler, limits: Limits | None = None, drain: float = 2.0) -> AsyncIterator[World]:
    directory = Directory(handler)
    async with Server(directory, limits, drain) as server:
        yield World(server, directory)


class World:
    """A running server with a plain listener, the common address and a port for cluster a and b."""

    def __init__(self, server: Server, directory: Directory) -> None:
        self.server = server
        self.directory = directory
        self.plain = server.listen_plain(HOST, 0).port
        self.common = server.listen_common(HOST, 0).port
        self.port_a = server.listen_site(HOST, 0).port
        self.port_b = server.listen_site(HOST, 0).port
        directory.ports = {self.port_a: directory.a.site, self.port_b: directory.b.site}


def client_context(authority: Authority, pair: Pair | None, write: Callable[[Pair], tuple[str, str]]) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    if pair is not None:
        context.load_cert_chain(*write(pair))
    return context


async def talk(
    port: int, data: bytes, context: ssl.SSLContext | None = None, name: str | None = None, wait: float = 5.0
) -> bytes:
    """Send, then read until the server hangs up (or nothing comes for `wait` seconds)."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=name)
    received = b""
    try:
        writer.write(data)
        await writer.drain()
        while chunk := await asyncio.wait_for(reader.read(1 << 20), wait):
            received += chunk
    except TimeoutError:
        pass
    finally:
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    return received


def get(path: str = "/", *headers: str, method: str = "GET", close: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def until(condition: Callable[[], bool]) -> None:
    """Wait, for at most five seconds."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not come about")
