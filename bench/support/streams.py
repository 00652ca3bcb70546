"""A frugal HTTP client for many streams at once: one raw connection each, bytes handed on as they come.

A thousand watchers in an ordinary client would measure that client.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Callable
from typing import cast

from support.tenant import Tenant


class Stream(asyncio.Protocol):
    """Sends one GET and calls `received(data)` for every piece of the answer, head included; with b"" at the end."""

    def __init__(self, request: bytes, received: Callable[[bytes], None]) -> None:
        self._request = request
        self._received = received
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._received(b"")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def request(tenant: Tenant, path: str, headers: str = "") -> bytes:
    """The bytes of a GET."""
    head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {tenant.token}\r\nUser-Agent: bench/1.0\r\n"
    return f"{head}Accept: application/json\r\n{headers}\r\n".encode()


def tls(tenant: Tenant) -> ssl.SSLContext:
    cluster = tenant.contender.admin["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    context.check_hostname = False
    return context


async def opened(
    tenant: Tenant, context: ssl.SSLContext, path: str, received: Callable[[bytes], None], headers: str = ""
) -> Stream:
    """`received` gets each piece, and nothing at the end."""
    host, port = tenant.contender.address
    loop = asyncio.get_running_loop()
    sent = request(tenant, path, headers)
    _, stream = await loop.create_connection(lambda: Stream(sent, received), host, port, ssl=context)
    return stream


async def fetched(tenant: Tenant, context: ssl.SSLContext, path: str, ends_with: bytes = b"") -> tuple[bytes, float]:
    """The answer up to and including `ends_with` (or all of it), and the seconds that took, connecting included."""
    began = time.perf_counter()
    parts: list[bytes] = []
    tail = b""
    done = asyncio.get_running_loop().create_future()

    def received(data: bytes) -> None:
        nonlocal tail
        parts.append(data)
        tail = (tail + data)[-4096:]
        if not done.done() and (not data or (ends_with and ends_with in tail)):
            done.set_result(None)

    stream = await opened(tenant, context, path, received, "" if ends_with else "Connection: close\r\n")
    try:
        async with asyncio.timeout(120):
            await done
    finally:
        stream.close()
    return b"".join(parts), time.perf_counter() - began
