"""One HTTP/1.1 connection.

The model first. Bytes go into llhttp (strict: what two readers could read differently is refused, which is what
request smuggling lives on). Each complete request joins a queue; one request is answered at a time, in order. A
handler that returns a `Response` is answered within the same call, without a task; an awaitable, a stream or an
upgrade gets a task, which is cancelled when the peer leaves.

Limits: head 1 MiB (431, as Go's default), body 3 MiB (413 with upstream's Status; the rest of the body is read and
dropped, so that the client gets the answer and may go on). Time-outs are deadlines in server ticks (seconds),
checked by one timer for all connections: a head must be complete within 32 s and an idle connection is kept for 90 s,
as upstream; a body must be complete within 60 s, and a peer that takes nothing for 120 s is dropped.

While a request is being answered, reading goes on just far enough to notice that the peer left: as soon as another
request is complete behind it, reading pauses.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools
import structlog

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.http import encoding, target
from kloster.apiserver.http.sites import Site, split_cluster_path
from kloster.apiserver.http.upgrade import Tunnel
from kloster.client.transport import Request, Response

if TYPE_CHECKING:
    from kloster.apiserver.http.server import Server

log = structlog.get_logger(__name__)

MAX_HEAD = 1024 * 1024
MAX_BODY = 3 * 1024 * 1024
MAX_DISCARD = 64 * 1024 * 1024
NEVER = 1 << 62
BURST = 16
"""Pipelined requests answered in one go before others get a turn."""

STREAM_BURST = 64
"""Chunks of a stream that never waits before others get a turn."""

_names: dict[bytes, str] = {}
"""Header names seen → lower case. Bounded, because names come from strangers."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _header_name(raw: bytes) -> str:
    name = raw.decode("ascii").lower()
    if len(_names) < 512 and len(raw) < 64:
        _names[raw] = name
    return name


class _Incoming:
    """A request as it is being received."""

    __slots__ = (
        "body",
        "dropped",
        "head",
        "headers",
        "keep_alive",
        "method",
        "minor",
        "refusal",
        "repeated",
        "size",
        "url",
    )

    def __init__(self) -> None:
        self.method = ""
        self.url = b""
        self.headers: dict[str, str] = {}
        self.repeated: dict[str, list[str]] | None = None
        self.head = 0
        self.body: bytes | bytearray = b""
        self.size = 0
        self.dropped = 0
        self.minor = 1
        self.keep_alive = True
        self.refusal: StatusError | None = None


class Connection(asyncio.Protocol):
    """Parses, calls the handler, writes. `site` is None on the common address (there each path says the cluster)."""

    __slots__ = (
        "_asking",
        "_busy",
        "_certificate",
        "_closing",
        "_cork",
        "_drained",
        "_finish",
        "_head_bytes",
        "_head_done",
        "_incoming",
        "_leftover",
        "_parser",
        "_paused_reading",
        "_queue",
        "_remote",
        "_server",
        "_streaming",
        "_task",
        "_transport",
        "_tunnel",
        "_upgraded",
        "deadline",
        "site",
    )

    def __init__(self, server: Server, site: Site | None) -> None:
        self.site = site
        self.deadline = NEVER
        self._server = server
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: _Incoming | None = None
        self._head_done = False
        self._head_bytes = 0
        self._asking = ""
        self._queue: deque[_Incoming] = deque()
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._streaming = False
        self._finish = False
        self._tunnel: Tunnel | None = None
        self._upgraded = False
        self._leftover = b""
        self._cork: list[bytes] | None = None
        self._drained: asyncio.Event | None = None
        self._paused_reading = False
        self._closing = False
        self._certificate: bytes | None = None
        self._remote = ""

    # --- the transport's side -----------------------------------------------------------------------------------

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
        self._queue.clear()

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
        if self._queue and not self._busy:
            self._server.loop.call_soon(self._advance)

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.feed(data)
            return
        if self._closing:
            return
        if self._upgraded:
            self._hold(data)
            return
        self._cork = []
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded = True
            self._hold(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._malformed(error)
        if self._queue and not self._busy:
            self._advance()
        self._flush()
        if self.closing:
            return
        if self._incoming is not None and not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(431)
                return
        self._set_deadline()
        if self._queue and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    def _hold(self, data: bytes) -> None:
        """Keep what came behind an upgrade request until its answer is known."""
        self._leftover += data
        if len(self._leftover) > MAX_HEAD:
            self._refuse(431)

    # --- the parser's side ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()
        self._head_done = False
        self._head_bytes = 0
        self._asking = ""

    def on_url(self, url: bytes) -> None:
        if self._incoming is not None:
            self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self._incoming
        if incoming is None or self._head_done:
            return  # a trailer: upstream ignores them, and nothing may be smuggled in behind the body
        incoming.head += len(name) + len(value) + 4
        if incoming.head > MAX_HEAD:
            self._refuse(431)
            return
        known = _names.get(name) or _header_name(name)
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("utf-8", "replace")
        headers = incoming.headers
        if known in headers:
            # Joined once at the end: a stranger may send a hundred thousand of them.
            if incoming.repeated is None:
                incoming.repeated = {}
            incoming.repeated.setdefault(known, [headers[known]]).append(text)
        else:
            headers[known] = text

    def on_headers_complete(self) -> None:
        incoming = self._incoming
        self._head_done = True
        if incoming is None or self._closing:
            return  # refused already
        parser = self._parser
        incoming.method = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                self._refuse(505)
                return
            incoming.minor = 0
        headers = incoming.headers
        if incoming.repeated is not None:
            if "host" in incoming.repeated:
                self._refuse(400)
                return
            for name, values in incoming.repeated.items():
                headers[name] = ", ".join(values)
        if "host" not in headers and incoming.minor:
            self._refuse(400, ": missing required Host header")
            return
        if "content-length" in headers and int(headers["content-length"]) > MAX_BODY:
            incoming.refusal = _too_large()
        expectation = headers.get("expect")
        if expectation:
            if expectation.lower() != "100-continue":
                self._refuse(417)
            elif incoming.refusal is not None:
                # The body was not sent yet; whether it still will be nobody knows, hence no next request here.
                self._respond_and_close(encoding.failure(incoming.refusal))
            elif incoming.minor:
                self._asking = "continue"
                if not self._busy and not self._queue:
                    self._send_continue()

    def _send_continue(self) -> None:
        self._asking = ""
        self._send(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        incoming = self._incoming
        if incoming is None or self._closing:
            return
        self._asking = ""  # the client did not wait
        if incoming.refusal is None:
            size = incoming.size + len(data)
            if size <= MAX_BODY:
                if not incoming.size:
                    incoming.body = data
                elif isinstance(incoming.body, bytearray):
                    incoming.body += data
                else:
                    incoming.body = bytearray(incoming.body) + data
                incoming.size = size
                return
            incoming.refusal = _too_large()
            incoming.body = b""
        incoming.dropped += len(data)
        if incoming.dropped > MAX_DISCARD:
            self._respond_and_close(encoding.failure(incoming.refusal))

    def on_message_complete(self) -> None:
        incoming = self._incoming
        if incoming is None or self._closing:
            return
        incoming.keep_alive = self._parser.should_keep_alive()
        self._incoming = None
        self._queue.append(incoming)

    def _malformed(self, error: httptools.HttpParserError) -> None:
        """The grammar was broken: answer what is complete before it, then refuse and hang up."""
        if self._closing:
            return
        text = str(error)
        if "after `Connection: close`" in text:
            self._parser = httptools.HttpRequestParser(self)
            return
        if "Transfer-Encoding`" in text and "present" not in text:
            self._refuse(501, plain="Unsupported transfer encoding")
        elif "HTTP version" in text:
            self._refuse(505, ": unsupported protocol version")
        elif "header token" in text or "header field char" in text:
            self._refuse(400, ": invalid header name")
        else:
            self._refuse(400)

    def _refuse(self, status: int, detail: str = "", plain: str = "") -> None:
        """An answer below the API, in Go's words, after which the connection ends."""
        phrase = "Request Header Fields Too Large" if status == 431 else HTTPStatus(status).phrase
        text = plain or f"{status} {phrase}{detail}"
        response = Response(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())
        self._respond_and_close(response)

    def _respond_and_close(self, response: Response) -> None:
        """Answer out of turn and hang up; what stands in the queue, or is being answered, is lost with it."""
        if self._closing:
            return
        self._closing = True
        self._incoming = None
        if not self._busy:
            framing = f"Content-Length: {len(response.body)}\r\nConnection: close\r\n"
            self._send(encoding.head(response.status, response.headers, framing, self._server.date()) + response.body)
        self._queue.clear()
        self._flush()
        self._linger()

    def _linger(self) -> None:
        """Close a little later: closing with unread input resets the connection and may eat the answer."""
        self._closing = True
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        self.deadline = NEVER
        self._server.loop.call_later(0.5, self._transport.close)

    # --- answering -----------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Answer queued requests, in order, until one needs a task or others deserve a turn."""
        burst = 0
        outermost = self._cork is None
        if outermost:
            self._cork = []
        while self._queue and not self._busy and not self._closing:
            if self._drained is not None and not self._drained.is_set():
                break
            if burst == BURST:
                self._server.loop.call_soon(self._advance)
                break
            burst += 1
            self._answer(self._queue.popleft())
        if outermost:
            self._flush()
            self._set_deadline()
        if not self._queue and self._paused_reading and not self._closing:
            self._paused_reading = False
            self._transport.resume_reading()

    def _answer(self, incoming: _Incoming) -> None:
        result: Response | Awaitable[Response]
        if incoming.refusal is not None:
            result = encoding.failure(incoming.refusal)
        else:
            try:
                result = self._call(incoming)
            except StatusError as error:
                result = encoding.failure(error)
            except target.BadTarget:
                self._refuse(400)
                return
            except Exception:
                log.exception("handler failed", remote=self._remote)
                result = encoding.failure(errors.internal("the request could not be handled"))
        if type(result) is Response and result.stream is None and result.upgrade is None:
            if len(result.body) > encoding.GZIP_THRESHOLD:
                accept = incoming.headers.get("accept-encoding", "")
                if encoding.wants_gzip(result, accept):
                    if len(result.body) > encoding.IN_THREAD:
                        self._begin(incoming, result)
                        return
                    result = encoding.mark_gzip(result, encoding.compress(result.body))
            self._respond(incoming, result)
        else:
            self._begin(incoming, result)

    def _call(self, incoming: _Incoming) -> Response | Awaitable[Response]:
        raw_path, raw_query = target.split(incoming.url)
        site = self.site
        prefix = ""
        if site is None:
            parts = split_cluster_path(raw_path)
            directory = self._server.directory
            if parts is None:
                site = directory.common
            else:
                found = directory.by_path(parts[0], parts[1])
                if found is None:
                    raise errors.path_not_found()
                site = found
                raw_path = parts[2]
                prefix = f"/clusters/{parts[0]}/{parts[1]}"
        body = incoming.body
        request = Request(
            incoming.method,
            target.decode_path(raw_path),
            target.decode_query(raw_query),
            incoming.headers,
            body if isinstance(body, bytes) else bytes(body),
            None,
            self._certificate,
            self._remote,
            prefix,
        )
        return site.handler(request)

    def _begin(self, incoming: _Incoming, result: Response | Awaitable[Response]) -> None:
        self._busy = True
        self.deadline = NEVER
        self._task = self._server.spawn(self._run(incoming, result))
        self._task.add_done_callback(self._ended)

    async def _run(self, incoming: _Incoming, result: Response | Awaitable[Response]) -> None:
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
            if encoding.wants_gzip(response, incoming.headers.get("accept-encoding", "")):
                if len(response.body) > encoding.IN_THREAD:
                    packed = await asyncio.to_thread(encoding.compress, response.body)
                else:
                    packed = encoding.compress(response.body)
                response = encoding.mark_gzip(response, packed)
            self._respond(incoming, response)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The task of the current request is over, one way or the other."""
        self._task = None
        self._busy = False
        self._streaming = False
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            if not isinstance(error, ConnectionError):
                log.error("connection failed", remote=self._remote, error=repr(error))
            self._transport.abort()
            return
        if task.cancelled() and not self._closing:
            self._transport.abort()
            return
        if self._closing:
            return
        if self._asking:
            self._send_continue()
        self._advance()

    def _respond(self, incoming: _Incoming, response: Response) -> None:
        status, body = response.status, response.body
        if status < 200 or status == 204 or status == 304:
            framing = ""
            body = b""
        else:
            framing = f"Content-Length: {len(body)}\r\n"
            if incoming.method == "HEAD":
                body = b""
        keep = incoming.keep_alive and not self._finish and not (self._upgraded and not self._queue)
        if not keep:
            framing += "Connection: close\r\n"
        elif not incoming.minor:
            framing += "Connection: keep-alive\r\n"
        head = encoding.head(status, response.headers, framing, self._server.date(), incoming.minor)
        if len(body) > 65536:
            self._send(head)
            self._send(body)
        else:
            self._send(head + body)
        if not keep:
            self._queue.clear()
            self._flush()
            if self._incoming is not None:
                self._linger()
            else:
                self._closing = True
                self._transport.close()

    async def _stream(self, incoming: _Incoming, response: Response) -> None:
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
            self._transport.write(
                encoding.head(response.status, response.headers, framing, self._server.date(), incoming.minor)
            )
            if incoming.method != "HEAD":
                async for chunk in response.stream:
                    if not chunk:
                        continue
                    if chunked:
                        chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
                    self._transport.write(chunk)
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
            self._transport.write(b"0\r\n\r\n")
        if not keep:
            self._closing = True
            self._transport.close()

    async def _switch(self, incoming: _Incoming, response: Response) -> None:
        assert response.upgrade is not None
        if not self._upgraded:
            # Nothing was asked to be upgraded: the handler is wrong, and the client would not understand 101.
            incoming.keep_alive = False
            self._respond(incoming, encoding.failure(errors.bad_request("Upgrade request required")))
            return
        self._transport.write(encoding.head(response.status, response.headers, "", self._server.date()))
        if self._drained is None:
            self._drained = asyncio.Event()
            self._drained.set()
        self._tunnel = Tunnel(self._transport, self._drained, self._leftover)
        self._leftover = b""
        try:
            await response.upgrade(self._tunnel)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._closing = True
            self._transport.close()

    # --- small things --------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if self._cork is not None:
            self._cork.append(data)
        else:
            self._transport.write(data)

    def _flush(self) -> None:
        cork = self._cork
        self._cork = None
        if cork:
            self._transport.write(cork[0] if len(cork) == 1 else b"".join(cork))

    def _set_deadline(self) -> None:
        """What the connection waits for now decides how long it may take. Trickling bytes does not extend it."""
        server = self._server
        if self._drained is not None and not self._drained.is_set():
            return  # set by pause_writing
        if self._busy or self._tunnel is not None or self._closing:
            self.deadline = NEVER
        elif self._incoming is None:
            self.deadline = server.tick + server.limits.idle
        elif not self._head_done:
            self.deadline = min(self.deadline, server.tick + server.limits.head)
        else:
            self.deadline = server.tick + server.limits.body if self._incoming.size == 0 else self.deadline

    def expire(self) -> None:
        """The deadline has passed."""
        if self._drained is not None and not self._drained.is_set():
            self._transport.abort()
        elif self._incoming is not None and self._head_done:
            self._refuse(408)
        else:
            self._closing = True
            self._transport.close()

    @property
    def closing(self) -> bool:
        return self._closing

    @property
    def idle(self) -> bool:
        return not self._busy and not self._queue and self._incoming is None

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


def _too_large() -> StatusError:
    return errors.too_large(f"Request entity too large: limit is {MAX_BODY}")
