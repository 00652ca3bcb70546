"""A connection after ``101 Switching Protocols``: raw bytes both ways, with back-pressure both ways."""

from __future__ import annotations

import asyncio

HIGH_WATER = 256 * 1024
"""Unread bytes above which the peer is no longer read from."""


class Tunnel:
    """Implements `kloster.client.transport.Duplex` on a connection's transport."""

    def __init__(self, transport: asyncio.Transport, drained: asyncio.Event, first: bytes) -> None:
        self._transport = transport
        self._drained = drained
        self._received = bytearray(first)
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._lost = False
        self._reading = True

    async def read(self) -> bytes:
        while not self._received:
            if self._ended:
                return b""
            if self._waiter is not None:
                raise RuntimeError("read() is already waiting in another task")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._received)
        self._received.clear()
        if not self._reading and not self._lost:
            self._reading = True
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the peer has left")
        self._transport.write(data)
        if not self._drained.is_set():
            await self._drained.wait()
            if self._lost:
                raise ConnectionResetError("the peer has left")

    async def close(self) -> None:
        self._transport.close()

    def feed(self, data: bytes) -> None:
        """Bytes from the peer (called by the connection)."""
        self._received += data
        if len(self._received) > HIGH_WATER and self._reading:
            self._reading = False
            self._transport.pause_reading()
        self._wake()

    def end(self, lost: bool = False) -> None:
        """The peer sends nothing more; with `lost` the connection is gone altogether."""
        self._ended = True
        self._lost = self._lost or lost
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
