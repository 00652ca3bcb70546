"""Sockets that accept connections. A listener hands each accepted socket to `welcome`; it owns nothing else.

Accepting is done here rather than by the event loop's servers because a connection's TLS context is chosen after the
connection exists: from the cluster of the port, made at the first handshake, or from the ClientHello. It also means
that an accepted, untouched socket can be handed to another process.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

BACKLOG = 1024
AT_ONCE = 64
"""Connections accepted before the loop gets another turn."""


def raise_descriptor_limit() -> int:
    """Allow as many open files as the system permits, and say how many: each watch is a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class AddressInUse(OSError):
    """The address is taken (or not allowed). The text says which, and what to do."""


class Listener:
    """A bound socket. `welcome` is called with each accepted, non-blocking socket."""

    def __init__(self, listening: socket.socket, welcome: Callable[[socket.socket], None]) -> None:
        self._socket = listening
        self._welcome = welcome
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retry: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The TCP port (0 for a Unix socket)."""
        name = self._socket.getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
        if self._socket.family == socket.AF_UNIX and self._socket.fileno() >= 0:
            Path(self._socket.getsockname()).unlink(missing_ok=True)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._welcome(accepted)

    def _rest(self, error: OSError) -> None:
        """Out of descriptors or memory: accepting again at once would spin, so pause for a second."""
        assert self._loop is not None
        log.error("cannot accept connections", error=errno.errorcode.get(error.errno or 0, str(error)))
        self._loop.remove_reader(self._socket.fileno())
        self._retry = self._loop.call_later(1.0, self.start)


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening socket. `port` 0 picks a free one. Raises AddressInUse with what to do about it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Lets a restarted server have its port back while old connections linger; never shares a live one.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise AddressInUse(error.errno, _explain(error, where)) from error
    return listening


def _explain(error: OSError, where: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {where}: another process uses this port; stop it or choose another port"
    if error.errno == errno.EACCES:
        return f"cannot listen on {where}: not permitted; choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {where}: this machine has no such address"
    return f"cannot listen on {where}: {error.strerror or error}"


def bind_unix(path: str) -> socket.socket:
    """A listening Unix socket that only this user can reach. A stale one is replaced, a live one is not."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).exists():
            _remove_stale(path)
        before = os.umask(0o177)
        try:
            listening.bind(path)
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        if isinstance(error, AddressInUse):
            raise
        raise AddressInUse(error.errno, _explain(error, path)) from error
    return listening


def _remove_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
    raise AddressInUse(errno.EADDRINUSE, f"cannot listen on {path}: another process listens there")
