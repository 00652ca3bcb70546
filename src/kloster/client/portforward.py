"""pods/portforward from the client's side: one connection to one port of a pod, through the API server.

The model first. The subresource is a WebSocket (``v4.channel.k8s.io``) on which each message begins with the number of
a channel: 0 carries the bytes of the connection both ways, 1 says what went wrong. The first message of each channel is
the port, two bytes. The API server hands the connection to the kubelet, and that to the container runtime, so whether
somebody listens on the port is known only afterwards: then channel 1 says so, and the connection ends.

    caller ◀── socket pair ──▶ `_Channels` ◀── WebSocket ──▶ API server ──▶ kubelet ──▶ the pod's port

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/, kubelet/pkg/cri/streaming/portforward. Upstream's
newer tunnel of SPDY in a WebSocket (KEP 4006) is beside it, not instead of it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from kloster.apimachinery import Object
from kloster.client.dialing import shown
from kloster.client.errors import ConnectionFailed
from kloster.client.resources import PODS
from kloster.client.transport import Request, Response, Transport

PROTOCOL = "v4.channel.k8s.io"
REFUSED = "connection refused"

_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10
_DATA, _ERROR = 0, 1
_CHUNK = 1 << 16
_LONGEST = 1 << 20
"""Bytes of a message of the server: it sends what it has read, some ten thousand at a time."""
_LONGEST_ERROR = 4096


class NotForwarded(ConnectionFailed):
    """The API server, or the pod's node, has said why not. `why` may name what only their operators should know.

    status    of the API server's answer; 0 if there was none, or if the node has said it
    """

    def __init__(self, where: str, why: str, status: int = 0) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
        self.status = status


class PortForward:
    """A `Dialer` by an API server's port-forward, with the rights of `transport`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @asynccontextmanager
    async def dial(self, pod: Object, port: int) -> AsyncIterator[socket.socket]:
        metadata = pod["metadata"]
        headers = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-version": "13",
            "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
            "sec-websocket-protocol": PROTOCOL,
            "origin": "http://localhost",
        }
        path = f"{PODS.path(metadata['namespace'], metadata['name'])}/portforward"
        request, where = Request("GET", path, [("ports", str(port))], headers), f"dial tcp {shown(pod, port)}"
        with contextlib.ExitStack() as stack:
            inside, outside = map(stack.enter_context, _pair())
            try:
                answer = await self._transport(request)
            except ConnectionFailed as error:
                raise NotForwarded(where, str(error)) from error
            if answer.upgrade is None:
                raise NotForwarded(where, _refusal(answer), answer.status)
            channels = _Channels(inside)
            tasks = [asyncio.ensure_future(answer.upgrade(channels)), asyncio.ensure_future(channels.feed())]
            tasks[0].add_done_callback(lambda _: channels.end())
            try:
                yield outside
            except (ConnectionFailed, OSError) as error:
                if REFUSED in channels.failure:
                    raise ConnectionFailed(f"{where}: connect: {REFUSED}") from error
                if channels.failure:
                    raise NotForwarded(where, channels.failure) from error
                raise
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def _pair() -> tuple[socket.socket, socket.socket]:
    try:
        pair = socket.socketpair()
    except OSError as error:  # no descriptors are left
        raise ConnectionFailed(f"socket: {error.strerror or error}") from error
    for one in pair:
        one.setblocking(False)
    return pair


def _refusal(answer: Response) -> str:
    """What the API server says instead of forwarding."""
    with contextlib.suppress(orjson.JSONDecodeError):
        status = orjson.loads(answer.body)
        if isinstance(status, dict) and status.get("message"):
            return str(status["message"])
    return f"the port-forward was answered with status {answer.status}"


class _Channels:
    """The peer of an upgraded connection: reads from a socket and writes to it what channel 0 carries.

    failure   what channel 1 has said
    """

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(4)
        self._received = bytearray()
        self._greeted: set[int] = set()
        self._channel = -1
        self._ended = False
        self.failure = ""

    async def feed(self) -> None:
        """Take what the caller sends, until it has closed its socket."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(self._plain, _CHUNK):
                await self._frames.put(_masked(_BINARY, bytes((_DATA,)) + data))
        await self._frames.put(_masked(_CLOSE, b"\x03\xe8"))
        await self._frames.put(b"")

    def end(self) -> None:
        """The server is gone: the caller reads what has come, then the end."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(OSError):
                self._plain.shutdown(socket.SHUT_WR)

    # -- as a Duplex ------------------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        return await self._frames.get()

    async def write(self, data: bytes) -> None:
        if self._ended:
            raise ConnectionResetError("the port-forward has ended")
        self._received += data
        while (message := self._next()) is not None:
            await self._take(*message)

    async def close(self) -> None:
        self.end()

    # -- messages ---------------------------------------------------------------------------------------------------

    def _next(self) -> tuple[int, bytes] | None:
        """The next whole frame, opcode and payload. Raises ConnectionResetError for what is none of a server's."""
        data = self._received
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
        if data[1] & 0x80 or size > _LONGEST:
            raise ConnectionResetError("the server broke the WebSocket protocol")
        if len(data) < start + size:
            return None
        opcode, payload = data[0] & 0x0F, bytes(data[start : start + size])
        del data[: start + size]
        return opcode, payload

    async def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _CLOSE:
            self.end()
            return
        if opcode >= _CLOSE:
            if opcode == _PING:
                with contextlib.suppress(asyncio.QueueFull):
                    self._frames.put_nowait(_masked(_PONG, payload))
            return
        if opcode and payload:  # 0 goes on with the message before
            self._channel, payload = payload[0], payload[1:]
            if self._channel not in self._greeted:
                self._greeted.add(self._channel)
                payload = payload[2:]
        if self._channel == _ERROR and payload:
            self.failure = (self.failure + payload.decode("utf-8", "replace"))[:_LONGEST_ERROR]
        elif self._channel == _DATA and payload:
            await asyncio.get_running_loop().sock_sendall(self._plain, payload)


def _masked(opcode: int, payload: bytes) -> bytes:
    """One frame, masked as a client's must be."""
    size, mask = len(payload), os.urandom(4)
    if size <= 125:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    pad = (mask * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
    return head + mask + hidden
