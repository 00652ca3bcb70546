"""Events over a WebSocket (RFC 6455), for clients that can speak nothing else to a server that pushes: browsers.

The server's side of the handshake as upstream does it (golang.org/x/net/websocket): an Origin is demanded, of
subprotocols one may be named and is agreed to, whatever it is. Then every message is one frame; what the client says is
listened to only for pings and for the end.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

from kloster.client.transport import Duplex, Response

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR = 1000, 1002
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTROL_LIMIT = 125


class Chunks(Protocol):
    """What is sent: an iterator that can be ended from outside."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


def is_asked_for(headers: Mapping[str, str]) -> bool:
    """Whether a request wants to become a WebSocket."""
    wanted = headers.get("upgrade", "").strip().lower() == "websocket"
    return wanted and "upgrade" in headers.get("connection", "").lower()


def refusal(headers: Mapping[str, str]) -> Response | None:
    """Why the handshake fails; None if it does not."""
    if not headers.get("sec-websocket-key"):
        return Response(400, {}, b"mismatch challenge/response")
    if headers.get("sec-websocket-version") != "13":
        return Response(400, {"sec-websocket-version": "13"}, b"missing or bad WebSocket Version")
    if not _has_origin(headers.get("origin", "")):
        return Response(403)
    if len(_protocols(headers)) > 1:
        return Response(400)
    return None


def _has_origin(text: str) -> bool:
    try:
        return text != "null" and bool(urlsplit(text).scheme or text.startswith("/"))
    except ValueError:
        return False


def _protocols(headers: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",") if name.strip()]


def agreement(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that complete the handshake."""
    digest = hashlib.sha1((headers["sec-websocket-key"] + _GUID).encode(), usedforsecurity=False).digest()
    answer = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": base64.b64encode(digest).decode(),
    }
    if named := _protocols(headers):
        answer["sec-websocket-protocol"] = named[0]
    return answer


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole message, unmasked as a server's are."""
    size = len(payload)
    if size <= _CONTROL_LIMIT:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


async def send(duplex: Duplex, chunks: Chunks, split: Callable[[bytes], Iterable[bytes]], opcode: int) -> None:
    """Send what `chunks` gives, each of its messages (`split`) as one frame, until it or the client ends."""

    async def listen() -> None:
        try:
            with suppress(ConnectionError):
                await _listen(duplex)
        finally:
            await chunks.aclose()

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        try:
            with suppress(ConnectionError):
                async for chunk in chunks:
                    await duplex.write(b"".join([frame(opcode, message) for message in split(chunk)]))
                await duplex.write(frame(CLOSE, NORMAL.to_bytes(2, "big")))
        finally:
            listening.cancel()
            await chunks.aclose()
            await duplex.close()


async def _listen(duplex: Duplex) -> None:
    """Answer pings until the client closes, leaves, or breaks the protocol. Its messages are passed over."""
    reader = _Reader(duplex)
    while (head := await reader.take(2)) is not None:
        opcode, size = head[0] & 0x0F, head[1] & 0x7F
        control = opcode >= CLOSE
        if not head[1] & 0x80 or (control and size > _CONTROL_LIMIT):
            await duplex.write(frame(CLOSE, PROTOCOL_ERROR.to_bytes(2, "big")))
            return
        if size > _CONTROL_LIMIT:
            size = int.from_bytes(await reader.take(2 if size == 126 else 8) or b"", "big")
        mask = await reader.take(4)
        if mask is None or opcode == CLOSE:
            return
        if not control:
            if not await reader.skip(size):
                return
            continue
        payload = await reader.take(size)
        if payload is None:
            return
        if opcode == PING:
            plain = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
            await duplex.write(frame(PONG, plain))


class _Reader:
    """Takes exact numbers of bytes from a connection; keeps no more than it was given at once."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._data = b""

    async def take(self, count: int) -> bytes | None:
        """The next `count` bytes; None if the connection ends before."""
        while len(self._data) < count:
            more = await self._duplex.read()
            if not more:
                return None
            self._data += more
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    async def skip(self, count: int) -> bool:
        """Pass over `count` bytes; False if the connection ends before."""
        while count > len(self._data):
            count -= len(self._data)
            self._data = await self._duplex.read()
            if not self._data:
                return False
        self._data = self._data[count:]
        return True
