"""The bytes of one connection: back-pressure both ways, writes that leave together, and a close that loses nothing.

A `Wire` knows the transport and nothing of requests; what is made of the bytes is `protocol.Connection`'s business.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from kloster.apiserver.http.connections import Connections
from kloster.apiserver.http.sites import Site

NEVER = 1 << 62
LARGE = 64 * 1024
"""Bytes that are sent at once, whoever else has something to send."""

MOST_CORKED = 8
"""Writes of one connection that wait for those of others: what waits does not hold back who writes."""

_LINGER = 0.5


class Wire(asyncio.Protocol):
    """A connection's transport and its state. `site` is None on the common address: each path there says the cluster.

    deadline  the tick after which it is too late for what the connection waits for
    """

    __slots__ = (
        "_certificate",
        "_closing",
        "_cork",
        "_drained",
        "_paused_reading",
        "_remote",
        "_shared",
        "_transport",
        "deadline",
        "site",
    )

    def __init__(self, shared: Connections, site: Site | None) -> None:
        self.site = site
        self.deadline = NEVER
        self._shared = shared
        self._transport: asyncio.Transport
        self._cork: list[bytes] = []  # answers that have not left yet
        self._drained: asyncio.Event | None = None  # made when the peer is slow for the first time
        self._paused_reading = False
        self._closing = False
        self._certificate: bytes | None = None
        self._remote = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._remote = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if secured is not None and self.site is not None:
            self._certificate = secured.getpeercert(binary_form=True)

    # --- out -----------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = asyncio.Event()
        self._drained.clear()
        self.deadline = self._shared.tick + self._shared.limits.stall

    def resume_writing(self) -> None:
        if self._drained is not None:
            self._drained.set()

    @property
    def _stalled(self) -> bool:
        """Whether the peer takes nothing at present."""
        return self._drained is not None and not self._drained.is_set()

    def _send(self, data: bytes) -> None:
        """Send soon, together with the answers of other connections (`Connections.cork`)."""
        cork = self._cork
        cork.append(data)
        if len(cork) == 1:
            self._shared.cork(self)
        if len(data) > LARGE or len(cork) == MOST_CORKED:
            self.uncork()

    def _send_now(self, *data: bytes) -> None:
        """Send at once, behind what is to be sent soon."""
        self.uncork()
        self._transport.writelines(data)

    def uncork(self) -> None:
        """What was to be sent soon leaves now, in one write. Nobody is there for it if the connection was dropped."""
        cork = self._cork
        if cork and not self._transport.is_closing():
            self._cork = []
            self._transport.write(cork[0] if len(cork) == 1 else b"".join(cork))

    # --- in ------------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()

    # --- the end -------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Nothing more is read or begun; what has been written still leaves."""
        self._closing = True
        self.uncork()
        self._transport.close()

    def _linger(self) -> None:
        """Close a little later: input is under way, and a close now would reset the answer away."""
        self._closing = True
        self.uncork()
        self._resume()
        self.deadline = NEVER
        self._shared.loop.call_later(_LINGER, self._transport.close)
