"""How the main process and a worker talk: messages on one pair of sockets, descriptors on another.

Messages are lines of JSON on a stream: a call has a number, its answer carries the same one; either side may call. The
stream's end is the other's death. Descriptors (a listening socket, an accepted connection) travel as datagrams, each
with what it is for, because a stream could not say to which message one belongs.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from kloster.aio.supervision import Supervisor
from kloster.fleet.datadir import DataDirError
from kloster.stores.api import StoreBroken, StoreClosed, StoreError, StoreFailed

log = structlog.get_logger(__name__)

LONGEST_LINE = 16 << 20
LONGEST_PARCEL = 4096

Handle = Callable[[str, dict[str, Any]], Awaitable[Any]]
Parcel = Callable[[dict[str, Any], int], None]

_KNOWN: Mapping[str, type[Exception]] = {
    kind.__name__: kind for kind in (StoreError, StoreBroken, StoreFailed, DataDirError)
}


class Gone(Exception):
    """The other process has ended."""


class Remote(Exception):
    """The other process failed in a way that nobody foresaw; its log says more."""


class Channel:
    """One end. `open` it, then `run` serves it until the other end is closed.

    handle    called with what is asked and its arguments; what it returns, or a foreseen error, is the answer
    parcel    called with what a descriptor is for, and the descriptor, which is the receiver's from then on
    """

    def __init__(self, stream: socket.socket, parcels: socket.socket, handle: Handle, parcel: Parcel) -> None:
        self._stream = stream
        self._parcels = parcels
        self._handle = handle
        self._parcel = parcel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._closed = False

    async def open(self) -> None:
        """From now on `call`, `tell` and `post` can be used."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._stream, limit=LONGEST_LINE)
        self._parcels.setblocking(False)

    async def run(self) -> None:
        """Returns when the other end has been closed. Handlers that still run are then cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._parcels.fileno(), self._receive)
        try:
            async with Supervisor() as supervisor:
                while line := await self._reader.readline():
                    message = json.loads(line)
                    if "ask" in message:
                        supervisor.spawn(self._answer(message), name=message["ask"])
                    else:
                        self._settle(message)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            loop.remove_reader(self._parcels.fileno())
            self._parcels.close()
            self.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Hang up; `run` returns, here and on the other side. Idempotent."""
        self._closed = True
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Gone("the process has ended"))
        self._waiting.clear()

    # -- messages ---------------------------------------------------------------------------------------------------

    async def call(self, ask: str, **arguments: Any) -> Any:
        """Ask the other side. Raises Gone, Remote, or the foreseen error that it answered with."""
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._send({"ask": ask, "number": number, **arguments})
            return await future
        finally:
            self._waiting.pop(number, None)

    def tell(self, ask: str, **arguments: Any) -> None:
        """Tell the other side; no answer is expected, and none comes if it has gone."""
        try:
            self._send({"ask": ask, **arguments})
        except Gone:
            return

    def _send(self, message: dict[str, Any]) -> None:
        if self._closed:
            raise Gone("the process has ended")
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _answer(self, message: dict[str, Any]) -> None:
        ask, number = message.pop("ask"), message.pop("number", None)
        answer: dict[str, Any] = {"number": number}
        try:
            answer["result"] = await self._handle(ask, message)
        except StoreClosed as error:
            answer["error"] = ["StoreFailed", str(error)]
        except tuple(_KNOWN.values()) as error:
            answer["error"] = [type(error).__name__, str(error)]
        except Exception as error:
            log.exception("a message could not be handled", ask=ask)
            answer["error"] = ["", f"{type(error).__name__}: {error}"]
        if number is not None:
            try:
                self._send(answer)
            except Gone:
                return

    def _settle(self, answer: dict[str, Any]) -> None:
        future = self._waiting.get(answer["number"])
        if future is None or future.done():
            return
        if "error" in answer:
            kind, text = answer["error"]
            future.set_exception(_KNOWN.get(kind, Remote)(text))
        else:
            future.set_result(answer["result"])

    # -- descriptors ------------------------------------------------------------------------------------------------

    def post(self, descriptor: int, **what: Any) -> bool:
        """Send a copy of a descriptor. False if the other side takes none now (it is busy, or gone)."""
        if self._closed:
            return False
        try:
            socket.send_fds(self._parcels, [json.dumps(what).encode()], [descriptor])
        except OSError:
            return False
        return True

    def _receive(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._parcels, LONGEST_PARCEL, 4)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return
            if not descriptors:
                return
            first, *others = descriptors
            for surplus in others:
                os.close(surplus)
            try:
                self._parcel(json.loads(data), first)
            except Exception:
                log.exception("a descriptor could not be taken over")
                os.close(first)
