"""The far end of a port-forward, as a kubelet is one: WebSocket frames, channels, a port of this machine behind it."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

from kloster.client.transport import Duplex, Request, Response


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes((0x80 | opcode, size)) if size < 126 else bytes((0x80 | opcode, 126)) + struct.pack(">H", size)
    return head + payload


class Frames:
    """Reads the frames of a client, which must be masked."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._data = b""

    async def take(self, count: int) -> bytes:
        while len(self._data) < count:
            more = await self._duplex.read()
            if not more:
                raise EOFError
            self._data += more
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    async def next(self) -> tuple[int, bytes]:
        first, second = await self.take(2)
        assert second & 0x80, "a client masks"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self.take(2 if size == 126 else 8), "big")
        mask = await self.take(4)
        return first & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(await self.take(size)))


class Kubelet:
    """A `Transport` that forwards the ports in `ports`; what it was asked, and the pongs that it got."""

    def __init__(self, ports: dict[int, int], *, ping: bool = False) -> None:
        self.ports = ports
        self.asked: list[Request] = []
        self.pongs: list[bytes] = []
        self._ping = ping

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        return Response(101, {"sec-websocket-protocol": "v4.channel.k8s.io"}, upgrade=self._forward)

    async def aclose(self) -> None:
        """Nothing is held."""

    async def _forward(self, peer: Duplex) -> None:
        port = int(self.asked[-1].param("ports"))
        for channel in (b"\x00", b"\x01"):
            await peer.write(frame(2, channel + port.to_bytes(2, "little")))
        if self._ping:
            await peer.write(frame(9, b"are you there"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports.get(port, 1))
        except OSError:
            text = f"error forwarding port {port} to pod x: dial tcp4 127.0.0.1:{port}: connect: connection refused"
            await peer.write(frame(2, b"\x01" + text.encode()) + frame(8, b"\x03\xe8"))
            await peer.close()
            return

        async def up() -> None:
            frames = Frames(peer)
            with suppress(EOFError):
                while True:
                    opcode, payload = await frames.next()
                    if opcode == 10:
                        self.pongs.append(payload)
                    elif opcode == 8:
                        break
                    else:
                        assert payload[0] == 0, "only channel 0 is written to"
                        writer.write(payload[1:])
            writer.close()

        async def down() -> None:
            with suppress(OSError):
                while data := await reader.read(3000):
                    whole = frame(2, b"\x00" + data)
                    await peer.write(whole[:5])  # frames come in pieces
                    await peer.write(whole[5:])
                await peer.write(frame(8, b"\x03\xe8"))
            await peer.close()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(up())
                group.create_task(down())
        finally:
            writer.transport.abort()
