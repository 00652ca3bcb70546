"""One HTTP/1.1 connection.

The model first. `Reception` turns bytes into a queue of requests; one is answered at a time, in order. A handler that
returns a `Response` is answered within the same call, without a task; an awaitable, a stream or an upgrade gets a
task, which is cancelled when the peer leaves.

Time-outs are deadlines in server ticks (seconds), checked by one timer for all connections: a head must be complete
within 32 s and an idle connection is kept for 90 s, as upstream; a body must be complete within 60 s, and a peer that
takes nothing for 120 s is dropped.

While a request is being answered, reading goes on just far enough to notice that the peer left: as soon as another
request is complete behind it, reading pauses.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.http import encoding, target
from kloster.apiserver.http.grammar import Incoming, Reception, refusal
from kloster.apiserver.http.sites import Site, split_cluster_path
from kloster.apiserver.http.upgrade import Tunnel
from kloster.client.transport import Request, Response

if TYPE_CHECKING:
    from kloster.apiserver.http.server import Server

log = structlog.get_logger(__name__)

NEVER = 1 << 62
BURST = 16
"""Pipelined requests answered in one go before others get a turn."""

STREAM_BURST = 64
"""Chunks of a stream that never waits before others get a turn."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """Calls the handler and writes. `site` is None on the common address (there each path says the cluster)."""

    __slots__ = (
        "_busy",
        "_certificate",
        "_closing",
        "_cork",
        "_drained",
        "_finish",
        "_paused_reading",
        "_reception",
        "_remote",
        "_server",
        "_streaming",
        "_task",
        "_timed",
        "_timed_body",
        "_transport",
        "_tunnel",
        "deadline",
        "site",
    )

    def __init__(self, server: Server, site: Site | None) -> None:
        self.site = site
        self.deadline = NEVER
        self._server = server
        self._transport: asyncio.Transport
        self._reception = Reception(server.budget)
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._streaming = False
        self._finish = False
        self._tunnel: Tunnel | None = None
        self._cork: list[bytes] | None = None
        self._drained: asyncio.Event | None = None  # made when the peer is slow for the first time
        self._paused_reading = False
        self._timed: Incoming | None = None  # which request, and whether its body, the deadline is about
        self._timed_body = False
        self._closing = False
        self._certificate: bytes | None = None
        self._remote = ""

    # --- the transport's side ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._remote = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if secured is not None and self.site is not None:
            self._certificate = secured.getpeercert(binary_form=True)
        self._server.joined(self)
        self.deadline = self._server.tick + self._server.limits.head

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._server.left(self)
        if self._drained is not None:
            self._drained.set()
        if self._tunnel is not None:
            self._tunnel.end(lost=True)
        elif self._task is not None:
            self._task.cancel()
        self._reception.close()

    def eof_received(self) -> bool:
        if self._tunnel is not None:
            self._tunnel.end()
            return self._transport.get_extra_info("ssl_object") is None
        return False

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = asyncio.Event()
        self._drained.clear()
        self.deadline = self._server.tick + self._server.limits.stall

    def resume_writing(self) -> None:
        if self._drained is not None:
            self._drained.set()
        self._set_deadline()
        if self._reception.queue and not self._busy:
            self._server.loop.call_soon(self._advance)

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.feed(data)
            return
        if self._closing:
            return
        reception = self._reception
        reception.feed(data)
        if not self._busy:
            queue = reception.queue
            if len(queue) == 1 and reception.incoming is None and reception.refusal is None and self._drained is None:
                # The usual case, one whole request on an idle connection, without the ceremony of the general one.
                self._answer(queue.popleft())
                if self._drained is None:  # else pause_writing has set it
                    self.deadline = NEVER if self._busy else self._server.idle_deadline
            else:
                self._advance()
        elif reception.queue or reception.refusal is not None:
            self._pause()

    def _pause(self) -> None:
        if not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    # --- answering -----------------------------------------------------------------------------------------------

    def _advance(self, answered: bool = False) -> None:
        """Answer queued requests, in order, until one needs a task or others deserve a turn."""
        reception = self._reception
        queue = reception.queue
        burst = 0
        cork: list[bytes] = []
        self._cork = cork if len(queue) > 1 else None  # pipelined answers leave in one write
        while queue and not self._busy and not self._closing:
            if burst == BURST:
                self._server.loop.call_soon(self._advance)
                break
            if self._drained is not None and not self._drained.is_set():
                break  # resume_writing goes on
            burst += 1
            self._answer(queue.popleft())
        self._cork = None
        if cork:
            self._transport.write(cork[0] if len(cork) == 1 else b"".join(cork))
        if self._closing:
            return
        if queue:
            self._pause()
        elif not self._busy:
            if reception.refusal is not None:
                self._hang_up(reception.refusal)
                return
            if reception.wants_continue:
                reception.wants_continue = False
                self._transport.write(_CONTINUE)
            if self._paused_reading:
                self._paused_reading = False
                self._transport.resume_reading()
        self._set_deadline(answered or burst > 0)

    def _answer(self, incoming: Incoming) -> None:
        result: Response | Awaitable[Response]
        if incoming.error is not None:
            result = encoding.failure(incoming.error)
        else:
            try:
                result = self._call(incoming)
            except StatusError as error:
                result = encoding.failure(error)
            except target.BadTarget:
                incoming.keep_alive = False
                result = refusal(400)
            except Exception:
                log.exception("handler failed", remote=self._remote)
                result = encoding.failure(errors.internal("the request could not be handled"))
        if type(result) is not Response or result.stream is not None or result.upgrade is not None:
            self._begin(incoming, result)
            return
        if len(result.body) > encoding.GZIP_THRESHOLD and encoding.wants_gzip(result, incoming.headers):
            if len(result.body) > encoding.IN_THREAD:
                self._begin(incoming, result)
                return
            result = encoding.mark_gzip(result, encoding.compress(result.body))
        self._respond(incoming, result)
        if incoming.size:
            self._reception.release(incoming)

    def _call(self, incoming: Incoming) -> Response | Awaitable[Response]:
        raw_path, raw_query = target.split(incoming.url)
        site = self.site
        prefix = ""
        if site is None:
            parts = split_cluster_path(raw_path)
            if parts is None:
                site = self._server.directory.common
            else:
                found = self._server.directory.by_path(parts[0], parts[1])
                if found is None:
                    raise errors.path_not_found()
                site = found
                raw_path = parts[2]
                prefix = f"/clusters/{parts[0]}/{parts[1]}"
        body = incoming.body
        request = Request(
            incoming.method,
            target.decode_path(raw_path) if "%" in raw_path else raw_path,
            target.decode_query(raw_query) if raw_query else [],
            incoming.headers,
            body if isinstance(body, bytes) else bytes(body),
            None,
            self._certificate,
            self._remote,
            prefix,
        )
        return site.handler(request)

    def _respond(self, incoming: Incoming, response: Response) -> None:
        status, body = response.status, response.body
        if status < 200 or status == 204 or status == 304:
            framing = ""
            body = b""
        else:
            framing = f"Content-Length: {len(body)}\r\n"
            if incoming.method == "HEAD":
                body = b""
        # After a refused upgrade nobody knows in which protocol the client goes on.
        keep = incoming.keep_alive and not self._finish and not self._reception.upgraded
        if not keep:
            framing += "Connection: close\r\n"
        elif not incoming.minor:
            framing += "Connection: keep-alive\r\n"
        head = encoding.head(status, response.headers, framing, self._server.date, incoming.minor)
        if len(body) > 65536:
            self._send(head)
            self._send(body)
        else:
            self._send(head + body)
        if not keep:
            self._end_after_answer()

    def _end_after_answer(self) -> None:
        """Close once the answer is sent; a little later if input is under way, as a close would then reset it away."""
        self._closing = True
        while self._reception.queue:
            self._reception.release(self._reception.queue.popleft())
        if self._cork:
            self._transport.write(b"".join(self._cork))
            self._cork.clear()
        if self._reception.incoming is not None or self._paused_reading:
            self._linger()
        else:
            self._transport.close()

    def _hang_up(self, response: Response) -> None:
        framing = f"Content-Length: {len(response.body)}\r\nConnection: close\r\n"
        head = encoding.head(response.status, response.headers, framing, self._server.date)
        self._transport.write(head + response.body)
        self._linger()

    def _linger(self) -> None:
        self._closing = True
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        self.deadline = NEVER
        self._server.loop.call_later(0.5, self._transport.close)

    # --- answers that take time ----------------------------------------------------------------------------------

    def _begin(self, incoming: Incoming, result: Response | Awaitable[Response]) -> None:
        self._busy = True
        self._task = self._server.spawn(self._run(incoming, result))
        self._task.add_done_callback(partial(self._ended, incoming))

    async def _run(self, incoming: Incoming, result: Response | Awaitable[Response]) -> None:
        try:
            response = result if isinstance(result, Response) else await result
        except StatusError as error:
            response = encoding.failure(error)
        except Exception:
            log.exception("handler failed", remote=self._remote)
            response = encoding.failure(errors.internal("the request could not be handled"))
        if self._closing:
            await _close_stream(response)
        elif response.upgrade is not None:
            await self._switch(incoming, response)
        elif response.stream is not None:
            await self._stream(incoming, response)
        else:
            if encoding.wants_gzip(response, incoming.headers):
                if len(response.body) > encoding.IN_THREAD:
                    packed = await asyncio.to_thread(encoding.compress, response.body)
                else:
                    packed = encoding.compress(response.body)
                response = encoding.mark_gzip(response, packed)
            self._respond(incoming, response)

    def _ended(self, incoming: Incoming, task: asyncio.Task[None]) -> None:
        """The task of the current request is over, one way or the other."""
        self._reception.release(incoming)
        self._task = None
        self._busy = False
        self._streaming = False
        if task.cancelled():
            if not self._closing:
                self._transport.abort()
            return
        error = task.exception()
        if error is not None:
            if not isinstance(error, ConnectionError):
                log.error("connection failed", remote=self._remote, error=repr(error))
            self._transport.abort()
        elif not self._closing:
            self._advance(answered=True)

    async def _stream(self, incoming: Incoming, response: Response) -> None:
        """Send chunk by chunk, waiting while the peer is slow. The stream is closed whatever happens."""
        assert response.stream is not None
        chunked = incoming.minor == 1
        keep = chunked and incoming.keep_alive and not self._finish
        framing = "Transfer-Encoding: chunked\r\n" if chunked else ""
        if not keep:
            framing += "Connection: close\r\n"
        transport = self._transport
        sent = 0
        self._streaming = True
        try:
            transport.write(
                encoding.head(response.status, response.headers, framing, self._server.date, incoming.minor)
            )
            if incoming.method != "HEAD":
                async for chunk in response.stream:
                    if not chunk:
                        continue
                    transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    if self._drained is not None and not self._drained.is_set():
                        await self._drained.wait()
                    sent += 1
                    if sent % STREAM_BURST == 0:
                        await asyncio.sleep(0)
        except asyncio.CancelledError:
            # The server is closing: a clean end, so that a watching client resumes rather than complains.
            if not self._finish or self._closing:
                raise
            keep = False
        finally:
            await _close_stream(response)
        if self._closing:
            return
        if chunked and incoming.method != "HEAD":
            transport.write(b"0\r\n\r\n")
        if not keep or self._finish:
            self._closing = True
            transport.close()

    async def _switch(self, incoming: Incoming, response: Response) -> None:
        assert response.upgrade is not None
        reception = self._reception
        if not reception.upgraded:
            # Nothing was asked to be upgraded: the handler is wrong, and the client would not understand 101.
            incoming.keep_alive = False
            self._respond(incoming, encoding.failure(errors.bad_request("Upgrade request required")))
            return
        self._transport.write(encoding.head(response.status, response.headers, "", self._server.date))
        if self._drained is None:
            self._drained = asyncio.Event()
            self._drained.set()
        self._tunnel = Tunnel(self._transport, self._drained, reception.leftover)
        reception.leftover = b""
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        try:
            with suppress(ConnectionError):
                await response.upgrade(self._tunnel)
        finally:
            self._closing = True
            self._transport.close()

    # --- small things --------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if self._cork is not None:
            self._cork.append(data)
        else:
            self._transport.write(data)

    def _set_deadline(self, answered: bool = True) -> None:
        """What the connection waits for now decides how long it may take. Trickling bytes does not extend it."""
        server = self._server
        reception = self._reception
        if self._drained is not None and not self._drained.is_set():
            return  # set by pause_writing
        incoming = reception.incoming
        if self._busy or self._closing or self._tunnel is not None:
            self.deadline = NEVER
        elif incoming is None:
            if answered:
                self.deadline = server.tick + server.limits.idle
        elif incoming is not self._timed or reception.head_done is not self._timed_body:
            self._timed = incoming
            self._timed_body = reception.head_done
            self.deadline = server.tick + (server.limits.body if reception.head_done else server.limits.head)

    def expire(self) -> None:
        """The deadline has passed."""
        if self._drained is not None and not self._drained.is_set():
            self._transport.abort()
        elif self._reception.incoming is not None and self._reception.head_done:
            self._reception.close()
            self._hang_up(refusal(408))
        else:
            self._closing = True
            self._transport.close()

    @property
    def idle(self) -> bool:
        return not self._busy and not self._reception.queue and self._reception.incoming is None

    def finish(self) -> None:
        """Answer what has been asked, then close. Streams end now, cleanly."""
        self._finish = True
        if self._tunnel is not None:
            self._tunnel.end()
        elif self.idle:
            self._closing = True
            self._transport.close()
        elif self._streaming and self._task is not None:
            self._task.cancel()

    def abort(self) -> None:
        """Drop the connection and whatever it is doing."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()


async def _close_stream(response: Response) -> None:
    close = getattr(response.stream, "aclose", None)
    if close is not None:
        await close()
