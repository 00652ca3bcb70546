"""One HTTP/1.1 connection: requests in, answers out, in order.

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
import socket
import struct
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial

import structlog

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.http import budget, encoding, sites, target
from kloster.apiserver.http.budget import Account
from kloster.apiserver.http.connections import Connections
from kloster.apiserver.http.grammar import Incoming, Reception, refusal
from kloster.apiserver.http.sites import Site
from kloster.apiserver.http.upgrade import Tunnel
from kloster.apiserver.http.wire import LARGE, NEVER, Wire
from kloster.client.transport import Request, Response

log = structlog.get_logger(__name__)

BURST = 16
"""Pipelined requests answered in one go before others get a turn."""

STREAM_BURST = 64
"""Chunks of a stream that never waits before others get a turn."""

_LONGEST_CLUSTER_PATH = 512

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Wire):
    """Calls the handler and writes what it answers."""

    __slots__ = (
        "_busy",
        "_finish",
        "_on",
        "_reception",
        "_streaming",
        "_task",
        "_timed",
        "_timed_body",
        "_tunnel",
    )

    def __init__(self, shared: Connections, site: Site | None) -> None:
        super().__init__(shared, site)
        self._reception = Reception(shared.budget, shared.blocks, self._account)
        self._on: Account | None = None
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._streaming = False
        self._finish = False
        self._tunnel: Tunnel | None = None
        self._timed: Incoming | None = None  # which request, and whether its body, the deadline is about
        self._timed_body = False

    def _account(self, url: bytes) -> Account:
        """On whose account a request is held."""
        known = self._on
        if known is None:
            peer = self._transport.get_extra_info("peername")
            remote = budget.origin(peer[0]) if isinstance(peer, tuple) else ""
            known = self._on = Account(("" if self.site is None else self.site.name, remote))
        if self.site is not None:
            return known
        parts = sites.split_cluster_path(url[:_LONGEST_CLUSTER_PATH].decode("latin-1"))
        return known if parts is None else Account((f"{parts[0]}/{parts[1]}", known[1]))

    # --- the transport's side ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._shared.joined(self)
        self.deadline = self._shared.tick + self._shared.limits.head

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._shared.left(self)
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

    def resume_writing(self) -> None:
        super().resume_writing()
        self._set_deadline()
        if self._reception.queue and not self._busy:
            self._shared.loop.call_soon(self._advance)

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
                    self.deadline = NEVER if self._busy else self._shared.idle_deadline
            else:
                self._advance()
        elif reception.queue or reception.refusal is not None:
            self._pause()

    # --- answering -----------------------------------------------------------------------------------------------

    def _advance(self, answered: bool = False) -> None:
        """Answer queued requests, in order, until one needs a task or others deserve a turn."""
        reception = self._reception
        queue = reception.queue
        burst = 0
        while queue and not self._busy and not self._closing:
            if burst == BURST:
                self._shared.loop.call_soon(self._advance)
                break
            if self._stalled:
                break  # resume_writing goes on
            burst += 1
            self._answer(queue.popleft())
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
                self._send(_CONTINUE)
            self._resume()
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
        if incoming.held:
            self._reception.release(incoming)

    def _call(self, incoming: Incoming) -> Response | Awaitable[Response]:
        path, query = target.split(incoming.url)
        site, prefix = self.site, ""
        if site is None:
            site, path, prefix = sites.by_path(self._shared.directory, path)
        body = incoming.body
        request = Request(
            incoming.method,
            target.decode_path(path) if "%" in path else path,
            target.decode_query(query) if query else [],
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
        head = encoding.head(status, response.headers, framing, self._shared.date, incoming.minor)
        if len(body) > LARGE:
            self._send_now(head, body)  # not joined
        else:
            self._send(head + body)
        if not keep:
            self._end_after_answer()

    def _end_after_answer(self) -> None:
        """Close once the answer is sent; a little later if input is under way."""
        self._closing = True
        while self._reception.queue:
            self._reception.release(self._reception.queue.popleft())
        if self._reception.incoming is not None or self._paused_reading:
            self._linger()
        else:
            self._close()

    def _hang_up(self, response: Response) -> None:
        framing = f"Content-Length: {len(response.body)}\r\nConnection: close\r\n"
        head = encoding.head(response.status, response.headers, framing, self._shared.date)
        self._send(head + response.body)
        self._linger()

    # --- answers that take time ----------------------------------------------------------------------------------

    def _begin(self, incoming: Incoming, result: Response | Awaitable[Response]) -> None:
        self._busy = True
        self._task = self._shared.spawn(self._run(incoming, result))
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
            if isinstance(error, ConnectionResetError):
                self._linger_not()
            self._transport.abort()
        elif not self._closing:
            self._advance(answered=True)

    def _linger_not(self) -> None:
        """Have the peer see a reset connection (RST) rather than one that ends."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _stream(self, incoming: Incoming, response: Response) -> None:
        """Send chunk by chunk, waiting while the peer is slow. The stream is closed whatever happens."""
        assert response.stream is not None
        chunked = incoming.minor == 1
        keep = chunked and incoming.keep_alive and not self._finish
        framing = "Transfer-Encoding: chunked\r\n" if chunked else ""
        if not keep:
            framing += "Connection: close\r\n"
        sent = 0
        self._streaming = True
        try:
            self._send_now(encoding.head(response.status, response.headers, framing, self._shared.date, incoming.minor))
            if incoming.method != "HEAD":
                async for chunk in response.stream:
                    if not chunk:
                        continue
                    if len(chunk) > LARGE and chunked:
                        self._send_now(b"%x\r\n" % len(chunk), chunk, b"\r\n")  # not joined
                    else:
                        self._send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
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
            self._send(b"0\r\n\r\n")
        if not keep or self._finish:
            self._close()

    async def _switch(self, incoming: Incoming, response: Response) -> None:
        assert response.upgrade is not None
        reception = self._reception
        if not reception.upgraded:
            # Nothing was asked to be upgraded: the handler is wrong, and the client would not understand 101.
            incoming.keep_alive = False
            self._respond(incoming, encoding.failure(errors.bad_request("Upgrade request required")))
            return
        self._send_now(encoding.head(response.status, response.headers, "", self._shared.date))
        if self._drained is None:
            self._drained = asyncio.Event()
            self._drained.set()
        self._tunnel = Tunnel(self._transport, self._drained, reception.leftover)
        reception.leftover = b""
        self._resume()
        try:
            with suppress(ConnectionError):
                await response.upgrade(self._tunnel)
        finally:
            self._close()

    # --- small things --------------------------------------------------------------------------------------------

    def _set_deadline(self, answered: bool = True) -> None:
        """What the connection waits for now decides how long it may take. Trickling bytes does not extend it."""
        server = self._shared
        reception = self._reception
        if self._stalled:
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
        if self._stalled:
            self._transport.abort()
        elif self._reception.incoming is not None and self._reception.head_done:
            self._reception.close()
            self._hang_up(refusal(408))
        else:
            self._close()

    @property
    def idle(self) -> bool:
        return not self._busy and not self._reception.queue and self._reception.incoming is None

    def finish(self) -> None:
        """Answer what has been asked, then close. Streams end now, cleanly."""
        self._finish = True
        if self._tunnel is not None:
            self._tunnel.end()
        elif self.idle:
            self._close()
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
