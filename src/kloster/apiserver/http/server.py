"""The server: from a listening socket to a connection that is for a cluster, and an orderly end.

A connection's life: accept → (own port: its cluster; common address: peek at the ClientHello for SNI) → the cluster's
TLS context, made now if it does not exist → handshake → `Connection`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from kloster.apiserver.http import budget, listeners, tls
from kloster.apiserver.http.connections import Connections, Limits
from kloster.apiserver.http.protocol import Connection
from kloster.apiserver.http.sites import Directory, Site

log = structlog.get_logger(__name__)

PORT_SHARE = 4
"""One port may have this part of all handshakes under way."""

REMOTE_SHARE = 2
"""One remote address may have this part."""

BOTH_SHARE = 8
"""One remote address may have this part at one port."""


class Server:
    """Serves any number of clusters in one event loop. Use as an async context manager, then `listen_*`.

    elsewhere   asked, with the name in the ClientHello and the untouched socket, about each connection to the common
                address: True if another process has got a copy of the socket and goes on
    """

    def __init__(self, directory: Directory, limits: Limits | None = None, drain: float = 10.0) -> None:
        self.directory = directory
        self.limits = limits or Limits()
        self.loop: asyncio.AbstractEventLoop
        self.connections: Connections
        self._drain = drain
        self._welcoming: set[asyncio.Task[None]] = set()
        self._at_port: Counter[int] = Counter()  # of those in `_welcoming`
        self._from: Counter[str] = Counter()  # likewise; by remote address, and by that and the port
        self._listeners: list[listeners.Listener] = []
        self.elsewhere: Callable[[str, socket.socket], bool] | None = None

    async def __aenter__(self) -> Server:
        self.loop = asyncio.get_running_loop()
        self.connections = Connections(self.directory, self.limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- listening -----------------------------------------------------------------------------------------------

    def listen_site(self, host: str, port: int) -> listeners.Listener:
        """A cluster's own port: `directory.by_port` says which cluster, at each connection."""
        return self.listen_bound(listeners.bind_tcp(host, port))

    def listen_bound(self, listening: socket.socket) -> listeners.Listener:
        """A cluster's own port, bound before (perhaps by another process). The socket is the listener's from now on."""
        bound = int(listening.getsockname()[1])
        return self._start(listening, lambda accepted: self._welcome(accepted, self._by_port(bound)))

    def listen_common(self, host: str, port: int) -> listeners.Listener:
        """The address that all clusters share: SNI, or the path of each request, says which cluster."""
        return self.listen_common_bound(listeners.bind_tcp(host, port))

    def listen_common_bound(self, listening: socket.socket) -> listeners.Listener:
        """The common address, bound before. The socket is the listener's from now on."""
        return self._start(listening, self.adopt_common)

    def listen_unix(self, path: str) -> listeners.Listener:
        """Without TLS, for other processes of this user; paths as on the common address."""
        return self._start(listeners.bind_unix(path), lambda accepted: self._welcome(accepted, self._plain(None)))

    def listen_plain(self, host: str, port: int) -> listeners.Listener:
        """Without TLS, paths as on the common address: for loopback and tests."""
        listening = listeners.bind_tcp(host, port)
        return self._start(listening, lambda accepted: self._welcome(accepted, self._plain(None)))

    def adopt_common(self, accepted: socket.socket) -> None:
        """Serve a connection to the common address that was accepted here or by another process."""
        self._welcome(accepted, self._by_hello(accepted))

    def _start(self, listening: socket.socket, welcome: Any) -> listeners.Listener:
        listener = listeners.Listener(listening, welcome)
        listener.start()
        self._listeners.append(listener)
        return listener

    def stop_listening(self, listener: listeners.Listener) -> None:
        listener.close()
        if listener in self._listeners:
            self._listeners.remove(listener)

    # --- from an accepted socket to a connection -----------------------------------------------------------------

    def _welcome(self, accepted: socket.socket, choice: Coroutine[Any, Any, _Choice | None]) -> None:
        """Begin a connection. One port may take a quarter of the room, one remote address half of it: who lets
        handshakes hang at one cluster's port, or from one place, must not keep others from theirs."""
        place, remote, room = _port(accepted), _remote(accepted), self.limits.handshakes
        if (
            len(self._welcoming) >= room
            or self._at_port[place] >= max(1, room // PORT_SHARE)
            or (remote and self._from[remote] >= max(1, room // REMOTE_SHARE))
            or (remote and self._from[f"{remote} {place}"] >= max(1, room // BOTH_SHARE))
        ):
            choice.close()
            accepted.close()
            return
        task = self.loop.create_task(self._establish(accepted, choice))
        self._welcoming.add(task)
        self._at_port[place] += 1
        self._from.update((remote, f"{remote} {place}"))
        task.add_done_callback(partial(self._welcomed, place, remote))

    def _welcomed(self, place: int, remote: str, task: asyncio.Task[None]) -> None:
        self._welcoming.discard(task)
        self._at_port[place] -= 1
        if not self._at_port[place]:
            del self._at_port[place]
        for name in (remote, f"{remote} {place}"):
            self._from[name] -= 1
            if not self._from[name]:
                del self._from[name]

    async def _establish(self, accepted: socket.socket, choice: Coroutine[Any, Any, _Choice | None]) -> None:
        """Choose the cluster, then shake hands. Failures here are the client's: they end with the connection."""
        try:
            async with asyncio.timeout(self.limits.handshake):
                chosen = await choice
                if chosen is None:
                    accepted.close()
                    return
                await self.loop.connect_accepted_socket(
                    lambda: Connection(self.connections, chosen.site),
                    accepted,
                    ssl=chosen.context,
                    ssl_shutdown_timeout=None if chosen.context is None else self.limits.shutdown,
                )
        except (OSError, ssl.SSLError, tls.NotTLS, TimeoutError) as error:
            log.debug("connection refused", error=f"{type(error).__name__}: {error}")
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise
        except Exception:
            # A cluster whose certificates cannot be read must not take the listener with it.
            log.exception("no TLS context for a connection")
            accepted.close()

    async def _by_port(self, port: int) -> _Choice | None:
        site = self.directory.by_port(port)
        return None if site is None else _Choice(site, site.ssl_context())

    async def _plain(self, site: Site | None) -> _Choice | None:
        return _Choice(site, None)

    async def _by_hello(self, accepted: socket.socket) -> _Choice | None:
        name = await self._peek(accepted)
        if name is None or (name and self.elsewhere is not None and self.elsewhere(name, accepted)):
            return None
        site = self.directory.by_host(name) if name else None
        if site is not None:
            return _Choice(site, site.ssl_context())
        return _Choice(None, self.directory.common.ssl_context())

    async def _peek(self, accepted: socket.socket) -> str | None:
        """The ClientHello's server name, without taking the bytes away. None when the peer left."""
        pause = 0.0
        while True:
            try:
                data = accepted.recv(tls.MAX_HELLO, socket.MSG_PEEK)
            except BlockingIOError:
                data = b""
            else:
                if not data:
                    return None
                name = tls.server_name(data)
                if name is not None:
                    return name
            if not data:
                await _readable(self.loop, accepted)
            else:
                # Part of the hello is there, hence the socket stays readable: wait a moment instead.
                pause = min(pause + 0.002, 0.05)
                await asyncio.sleep(pause)

    # --- ending --------------------------------------------------------------------------------------------------

    async def close_site(self, name: str, grace: float = 2.0) -> None:
        """End all connections of one cluster (it is deleted, moved, or its CA changed)."""
        await self.connections.end_site(name, grace)

    async def close(self) -> None:
        """Stop listening, let requests finish within the drain time, then drop what is left. Idempotent."""
        for listener in list(self._listeners):
            self.stop_listening(listener)
        for task in list(self._welcoming):
            task.cancel()
        await asyncio.gather(*self._welcoming, return_exceptions=True)
        await self.connections.end(self._drain)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which cluster a connection is for (None: paths decide) and the TLS context (None: no TLS)."""

    site: Site | None
    context: ssl.SSLContext | None


def _port(accepted: socket.socket) -> int:
    """The local port of a connection; 0 where there is none."""
    try:
        name = accepted.getsockname()
    except OSError:
        return 0
    return int(name[1]) if isinstance(name, tuple) else 0


def _remote(accepted: socket.socket) -> str:
    """Who is at the other end, as far as the address tells; empty where there is none."""
    try:
        name = accepted.getpeername()
    except OSError:
        return ""
    return budget.origin(str(name[0])) if isinstance(name, tuple) else ""


async def _readable(loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(accepted.fileno(), wake)
    try:
        await ready
    finally:
        loop.remove_reader(accepted.fileno())
