"""From bytes to requests: HTTP/1.1's grammar and its limits, without any socket.

llhttp parses, in its strict mode: what two readers could read differently is refused, which is what request smuggling
lives on (both Content-Length and Transfer-Encoding, bare line feeds, folded headers, ...).

Limits: a head of 1 MiB (431, Go's default), a body of 3 MiB (413 with upstream's Status; the rest of the body is read
and dropped, so that the client gets the answer and may go on), and a budget of bytes for all connections together
(429, see `budget`), because they are held before anybody is authenticated.

A request whose header lines have been parsed before is not parsed again (`repeated`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from http import HTTPStatus

import httptools

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.http import encoding
from kloster.apiserver.http.budget import NOBODY, Account, Budget
from kloster.apiserver.http.repeated import Block, Blocks
from kloster.client.transport import Response

MAX_HEAD = 1024 * 1024
MAX_BODY = 3 * 1024 * 1024
MAX_DISCARD = 64 * 1024 * 1024

_names: dict[bytes, str] = {}
"""Header names seen → lower case. Bounded, because names come from strangers."""

_METHODS = {
    method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT")
}


def _header_name(raw: bytes) -> str:
    name = raw.decode("ascii").lower()
    if len(_names) < 512 and len(raw) < 64:
        _names[raw] = name
    return name


class Incoming:
    """A request as it is being received. Class attributes are the defaults: making one costs a single assignment."""

    method = ""
    url = b""
    repeated: dict[str, list[str]] | None = None
    head = 0  # bytes of header fields
    body: bytes | bytearray = b""
    size = 0  # bytes of the body
    held = 0  # bytes of the budget
    account = NOBODY
    dropped = 0
    minor = 1
    keep_alive = True
    error: StatusError | None = None  # answer with this, without asking the handler

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


class Reception:
    """Takes bytes, puts complete requests into `queue`.

    incoming         the request that is being received, None between requests
    head_done        its head is complete
    refusal          nothing more is accepted: once the queue is answered, send this and hang up
    wants_continue   the client waits for ``100 Continue`` before it sends the body
    upgraded         a request asked for another protocol; what came behind it is in `leftover`
    """

    __slots__ = (
        "_account",
        "_begun",
        "_block",
        "_blocks",
        "_budget",
        "_parser",
        "_partial",
        "head_done",
        "incoming",
        "leftover",
        "queue",
        "refusal",
        "upgraded",
        "wants_continue",
    )

    def __init__(
        self, budget: Budget, blocks: Blocks | None = None, account: Callable[[bytes], Account] = lambda _: NOBODY
    ) -> None:
        """`account` tells from a request's target on whose account it is."""
        self._budget = budget
        self._account = account
        self._blocks = blocks or Blocks()
        self._block: Block | None = None  # of the last request, while the parser stands right behind it
        self._begun = False
        self.queue: deque[Incoming] = deque()
        self.incoming: Incoming | None = None
        self.head_done = False
        self.refusal: Response | None = None
        self.wants_continue = False
        self.upgraded = False
        self.leftover = b""
        self._partial = 0
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        block = self._block
        if block is not None:
            url = block.target(data)
            if url is not None:
                incoming = Incoming()
                incoming.method = "GET"
                incoming.url = url
                incoming.headers = block.headers.copy()
                incoming.head = block.size
                self.queue.append(incoming)
                return
            self._block = None
        self._begun = False
        waiting = len(self.queue)
        self._parse(data)
        if self._begun and len(self.queue) == waiting + 1 and self.incoming is None:
            self._learn(data, self.queue[-1])

    def _learn(self, data: bytes, incoming: Incoming) -> None:
        """A request began and ended with `data`: know its block when it comes again."""
        usual = incoming.method == "GET" and incoming.minor == 1 and incoming.keep_alive and incoming.error is None
        if usual and self.refusal is None and not self.upgraded:
            self._block = self._blocks.learn(data, incoming.url, incoming.headers, incoming.head)

    def _parse(self, data: bytes) -> None:
        if self.refusal is not None:
            return
        if self.upgraded:
            self._keep(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded = True
            self._keep(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._malformed(str(error))
        if self.incoming is not None and not self.head_done:
            # A header line without end never reaches the callbacks, so raw bytes are counted as well.
            self._partial += len(data)
            if self._partial > MAX_HEAD:
                self._refuse(431)
            elif not self._hold(self.incoming, len(data)):
                self._refuse_with(encoding.failure(_too_much()))

    def _keep(self, data: bytes) -> None:
        """What came behind an upgrade request, until its answer is known."""
        self.leftover += data
        if len(self.leftover) > MAX_HEAD:
            self._refuse(431)

    # --- llhttp's callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begun = True

    def on_url(self, url: bytes) -> None:
        incoming = self.incoming
        if incoming is not None:
            incoming.url += url
        elif self.refusal is None:
            self.incoming = incoming = Incoming()
            incoming.url = url
            self.head_done = False
            self._partial = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self.incoming
        if incoming is None or self.head_done:
            return  # refused already, or a trailer: upstream ignores them, and nothing may be smuggled in by one
        incoming.head += len(name) + len(value) + 4
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("utf-8", "replace")
        known = _names.get(name) or _header_name(name)
        headers = incoming.headers
        if known in headers:
            # Joined once, at the end: a stranger may send a hundred thousand of them.
            if incoming.repeated is None:
                incoming.repeated = {}
            incoming.repeated.setdefault(known, [headers[known]]).append(text)
        else:
            headers[known] = text
        if incoming.head > MAX_HEAD:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        incoming = self.incoming
        self.head_done = True
        if incoming is None:
            return
        parser = self._parser
        method = parser.get_method()
        incoming.method = _METHODS.get(method) or method.decode("ascii")
        if parser.get_http_version() != "1.1":
            if parser.get_http_version() != "1.0":
                self._refuse(505)
                return
            incoming.minor = 0
        headers = incoming.headers
        if incoming.repeated is not None and not self._join(incoming):
            return
        if "host" not in headers and incoming.minor:
            self._refuse(400, ": missing required Host header")
            return
        if "content-length" in headers and int(headers["content-length"]) > MAX_BODY:
            incoming.error = _too_large()
        if "expect" in headers:
            self._expected(incoming, headers["expect"])

    def _join(self, incoming: Incoming) -> bool:
        repeated = incoming.repeated or {}
        if "host" in repeated:
            self._refuse(400)
            return False
        for name, values in repeated.items():
            incoming.headers[name] = ", ".join(values)
        return True

    def _expected(self, incoming: Incoming, expectation: str) -> None:
        if expectation.lower() != "100-continue":
            self._refuse(417)
        elif incoming.error is not None:
            # The body was not sent yet; whether it still will be nobody knows, hence no next request here.
            self._refuse_with(encoding.failure(incoming.error))
        elif incoming.minor:
            self.wants_continue = True

    def on_body(self, data: bytes) -> None:
        incoming = self.incoming
        if incoming is None:
            return
        self.wants_continue = False  # the client did not wait
        if incoming.error is None:
            if self._take(incoming, data):
                return
            self.release(incoming)
        assert incoming.error is not None
        incoming.dropped += len(data)
        if incoming.dropped > MAX_DISCARD:
            self._refuse_with(encoding.failure(incoming.error))

    def _take(self, incoming: Incoming, data: bytes) -> bool:
        """Add to the body, or say why not."""
        size = incoming.size + len(data)
        if size > MAX_BODY:
            incoming.error = _too_large()
            return False
        if not self._hold(incoming, len(data)):
            incoming.error = _too_much()
            return False
        if not incoming.size:
            incoming.body = data
        elif isinstance(incoming.body, bytearray):
            incoming.body += data
        else:
            incoming.body = bytearray(incoming.body) + data
        incoming.size = size
        return True

    def _hold(self, incoming: Incoming, size: int) -> bool:
        if not incoming.held:
            incoming.account = self._account(incoming.url)
        if not self._budget.take(incoming.account, size):
            return False
        incoming.held += size
        return True

    def release(self, incoming: Incoming) -> None:
        """The request is no longer needed."""
        if incoming.held:
            self._budget.give(incoming.account, incoming.held)
            incoming.held = 0
        incoming.size = 0
        incoming.body = b""

    def close(self) -> None:
        """The connection is gone: nothing of what was received is needed."""
        if self.incoming is not None:
            self.release(self.incoming)
            self.incoming = None
        while self.queue:
            self.release(self.queue.popleft())

    def on_message_complete(self) -> None:
        incoming = self.incoming
        if incoming is not None:
            incoming.keep_alive = self._parser.should_keep_alive()
            self.incoming = None
            self.wants_continue = False
            self.queue.append(incoming)

    # --- refusing ------------------------------------------------------------------------------------------------

    def _malformed(self, error: str) -> None:
        if "after `Connection: close`" in error:
            return  # the last answer ends the connection anyway
        if "Transfer-Encoding`" in error and "present" not in error:
            self._refuse(501, plain="Unsupported transfer encoding")
        elif "HTTP version" in error:
            self._refuse(505, ": unsupported protocol version")
        elif "header token" in error or "header field char" in error:
            self._refuse(400, ": invalid header name")
        else:
            self._refuse(400)

    def _refuse(self, status: int, detail: str = "", plain: str = "") -> None:
        self._refuse_with(refusal(status, detail, plain))

    def _refuse_with(self, response: Response) -> None:
        if self.refusal is None:
            self.refusal = response
        if self.incoming is not None:
            self.release(self.incoming)
        self.incoming = None
        self.wants_continue = False


def refusal(status: int, detail: str = "", plain: str = "") -> Response:
    """An answer below the API, in Go's words."""
    text = plain or f"{status} {HTTPStatus(status).phrase}{detail}"
    return Response(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())


def _too_much() -> StatusError:
    return errors.too_many_requests("too many requests, please try again later.")


def _too_large() -> StatusError:
    return errors.too_large(f"Request entity too large: limit is {MAX_BODY}")
