"""Upgraded connections to a remote server: exec, attach and port-forward, whatever protocol they speak.

The request's head is written by hand on a connection of its own. After ``101 Switching Protocols`` the bytes are
nobody's business here: they are pumped both ways, so WebSocket and SPDY pass alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from urllib.parse import quote, urlencode

from yarl import URL

from kloster.client.errors import ConnectionFailed
from kloster.client.transport import Duplex, Request, Response

_CONNECT = 10.0
_HEAD_TIMEOUT = 60.0
_HEAD_LIMIT = 1 << 16
_CHUNK = 1 << 16
_DRAIN = 5.0  # seconds the other direction may take to finish after one side has closed


async def ask(
    base: URL,
    tls: ssl.SSLContext | None,
    socket: str,
    server_name: str,
    request: Request,
    headers: dict[str, str],
) -> Response:
    """Send `request`; the answer is a 101 with `upgrade` set, or an ordinary one with its body."""
    try:
        async with asyncio.timeout(_CONNECT):
            reader, writer = await _connect(base, tls, socket, server_name)
    except (TimeoutError, OSError) as error:
        raise ConnectionFailed(f"{base.origin()}: {error or type(error).__name__}") from error
    try:
        writer.write(_head(base, request, headers) + request.body)
        async with asyncio.timeout(_HEAD_TIMEOUT):
            await writer.drain()
            status, answered = _parse(await reader.readuntil(b"\r\n\r\n"))
            if status != 101:
                body = await _body(reader, answered)
                writer.close()
                return Response(status, answered, body)
    except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        writer.close()
        raise ConnectionFailed(f"{base.origin()}: no answer to the upgrade: {error or type(error).__name__}") from error
    except BaseException:
        writer.close()
        raise

    async def take_over(peer: Duplex) -> None:
        await _pump(peer, reader, writer)

    return Response(101, answered, upgrade=take_over)


async def _connect(
    base: URL, tls: ssl.SSLContext | None, socket: str, server_name: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if socket:
        return await asyncio.open_unix_connection(socket, limit=_HEAD_LIMIT)
    name = (server_name or base.host) if tls is not None else None
    return await asyncio.open_connection(base.host, base.port, ssl=tls, server_hostname=name, limit=_HEAD_LIMIT)


def _head(base: URL, request: Request, headers: dict[str, str]) -> bytes:
    target = quote(base.path.rstrip("/") + request.path, safe="/:@!$&'()*+,;=~-._")
    if request.query:
        target += "?" + urlencode(request.query)
    host = base.host or "localhost"
    lines = [f"{request.method} {target} HTTP/1.1", f"host: {f'[{host}]' if ':' in host else host}:{base.port}"]
    skipped = ("host", "content-length", "transfer-encoding")
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in skipped]
    if "connection" not in headers:
        lines.append("connection: Upgrade")
    if request.body:
        lines.append(f"content-length: {len(request.body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header of the request contains a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    first, *rest = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(first.split(" ", 2)[1]), headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The body of a refusal: by length, in chunks, or to the end of the connection."""
    length = headers.get("content-length")
    if length is not None:
        return await reader.readexactly(int(length))
    if "chunked" not in headers.pop("transfer-encoding", ""):
        return await reader.read()
    pieces: list[bytes] = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    return b"".join(pieces)


async def _pump(peer: Duplex, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both ways until one side closes; then the other may finish what it was saying."""

    async def up() -> None:
        with contextlib.suppress(OSError):
            while data := await peer.read():
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    async def down() -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await peer.write(data)

    tasks = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
    try:
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if pending:
            await asyncio.wait(pending, timeout=_DRAIN)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        with contextlib.suppress(OSError):
            await peer.close()
