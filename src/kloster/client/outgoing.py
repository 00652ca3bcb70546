"""One POST over TLS to an address that somebody else chose: how webhooks are called.

The model first. Whoever may write webhook configurations decides where this process connects to, so what is called is
an *address* that has been looked at, not a name: the name is resolved once, every address that came out is judged
(`Reach`), and the connection goes to that very address while the certificate is checked against the name. No redirect
is followed and no proxy asked; time, size and the number of calls at a time are bounded. Where a name stands for
something that no resolver knows (a Service), the caller brings the connection (`Dial`) and answers for where it leads.

    Reach.ANYWHERE      loopback as well: the process belongs to whoever writes the configurations
    Reach.ELSEWHERE     not this machine and not its link: neither loopback, nor addresses of this machine's own, nor
                        169.254.0.0/16 and fe80::/10, where clouds serve credentials

Texts of failures are those of Go's client, which users of webhooks know.
"""

from __future__ import annotations

import asyncio
import enum
import ipaddress
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

from kloster.client.errors import ConnectionFailed

LARGEST_ANSWER = 16 * 1024 * 1024
_CONTEXTS = 64
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Dial = Callable[[], AbstractAsyncContextManager[socket.socket]]
"""Makes a connection. Raises ConnectionFailed (``dial tcp …``)."""


class Reach(enum.Enum):
    """Which addresses may be called."""

    ANYWHERE = "anywhere"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Answer:
    """`text`: the body is for people to read, by its Content-Type or for lack of one."""

    status: int
    body: bytes
    text: bool = True


class Refused(ConnectionFailed):
    """The address may not be called."""


class Outgoing:
    """Makes such calls, each on a connection of its own."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        ca: str,
        timeout: float,
        dial: Dial | None = None,
        at: tuple[str, int] | None = None,
    ) -> Answer:
        """POST JSON. `ca` is PEM (empty: the system's authorities). Raises ConnectionFailed, also after `timeout`.

        The connection goes to where the URL's name leads, or else
        dial   where the caller leads
        at     to this host and port, judged as the URL's would be
        """
        try:
            async with asyncio.timeout(timeout):
                if dial is None:
                    return await self._post(url, body, ca, at)
                async with dial() as made:
                    return await self._post(url, body, ca, at, made)
        except TimeoutError:
            raise ConnectionFailed(f'Post "{url}": context deadline exceeded') from None
        except ConnectionFailed as error:
            raise type(error)(f'Post "{url}": {error}') from None

    async def _post(
        self, url: str, body: bytes, ca: str, at: tuple[str, int] | None, made: socket.socket | None = None
    ) -> Answer:
        parts = urlsplit(url)
        reply = _Reply(asyncio.get_running_loop().create_future())
        place = at or (parts.hostname or "", parts.port or 443)
        transport = await self._connect(reply, parts.hostname or "", place, self._context(ca), made)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            head = (
                f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: kube-apiserver-admission\r\n"
                f"Accept: application/json, */*\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            transport.write(head.encode("latin-1", "replace") + body)
            answer = await reply.done
        except BaseException:
            transport.abort()  # whoever does not answer would not say goodbye, either
            raise
        transport.close()
        return answer

    async def _connect(
        self, reply: _Reply, name: str, place: tuple[str, int], tls: ssl.SSLContext, made: socket.socket | None
    ) -> asyncio.Transport:
        """A TLS connection to who is called `name`, at `place` or over the one that was `made`."""
        loop, (host, port) = asyncio.get_running_loop(), place
        address = await self._address(host, port) if made is None else ""
        dialled = f"dial tcp {shown(address, port)}" if address else f"dial tcp {host}:{port}"
        try:
            if made is None:
                transport, _ = await loop.create_connection(lambda: reply, address, port, ssl=tls, server_hostname=name)
            else:
                connect = loop.create_unix_connection if made.family == socket.AF_UNIX else loop.create_connection
                taken = socket.socket(fileno=made.detach())
                transport, _ = await connect(lambda: reply, sock=taken, ssl=tls, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            raise ConnectionFailed(f"tls: failed to verify certificate: x509: {_certificate_problem(error)}") from error
        except ssl.SSLError as error:
            raise ConnectionFailed(f"tls: {error.reason or error}") from error
        except ConnectionRefusedError as error:
            raise ConnectionFailed(f"{dialled}: connect: connection refused") from error
        except OSError as error:
            if isinstance(error, ConnectionResetError) and error.errno is None:  # it has closed, without a word
                raise ConnectionFailed("EOF") from error
            raise ConnectionFailed(f"{dialled}: connect: {(error.strerror or str(error)).lower()}") from error
        return transport

    async def _address(self, host: str, port: int) -> str:
        """The first of the host's addresses that may be called. Raises Refused if none may."""
        addresses = await _resolved(host, port)
        allowed = [one for one in addresses if self._reach is Reach.ANYWHERE or is_elsewhere(one)]
        if not allowed:
            listed = ", ".join(addresses)
            raise Refused(f"dial tcp {listed}: addresses of this machine and its link may not be called")
        return allowed[0]

    def _context(self, ca: str) -> ssl.SSLContext:
        found = self._contexts.get(ca)
        if found is None:
            found = self._contexts[ca] = _context(ca)
            if len(self._contexts) > _CONTEXTS:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(ca)
        return found


async def _resolved(host: str, port: int) -> list[str]:
    """The host's addresses. ``localhost`` needs nobody to resolve it (RFC 6761), and in a bare chroot nobody does."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if host.lower() == "localhost":
            return ["127.0.0.1", "::1"]
        raise ConnectionFailed(f"dial tcp: lookup {host}: no such host") from error
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def is_elsewhere(text: str) -> bool:
    """Whether an address is neither this machine's nor its link's, in whatever form it is written."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_elsewhere(str(inner))
    special = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    this_network = address.version == 4 and int(address) >> 24 == 0
    if special or this_network or address.is_reserved or address in _METADATA:
        return False
    return not _is_ours(address)


def _is_ours(address: Address) -> bool:
    """Whether this machine has the address: then, and only then, a socket can be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


def _context(ca: str) -> ssl.SSLContext:
    """Checks names and certificates as Go does: whatever is in the bundle is trusted, authority or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not ca:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise ConnectionFailed("unable to load root certificates: unable to parse bytes as PEM block") from error
    return context


def _certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    if "hostname" in error.verify_message.lower() or "ip address mismatch" in error.verify_message.lower():
        return f"certificate is not valid for this name: {error.verify_message}"
    if "expired" in error.verify_message:
        return "certificate has expired or is not yet valid"
    return "certificate signed by unknown authority"


def shown(address: str, port: int) -> str:
    """An address and a port, as errors name them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(slots=True, weakref_slot=True)
class _Reply(asyncio.Protocol):
    """Reads one answer."""

    done: asyncio.Future[Answer]
    _body: bytearray = field(default_factory=bytearray)
    _framed: bool = False
    _text: bool = True
    _parser: httptools.HttpResponseParser = field(init=False)

    def __post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"malformed HTTP response: {error}")

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True
        elif name.lower() == b"content-type":
            self._text = value.strip().lower().startswith(b"text/")

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > LARGEST_ANSWER:
            self._body.clear()
            self._fail(f"the answer is larger than {LARGEST_ANSWER} bytes")

    def on_message_complete(self) -> None:
        if not self.done.done():
            self.done.set_result(Answer(self._parser.get_status_code(), bytes(self._body), self._text))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            with suppress(httptools.HttpParserError):
                status = self._parser.get_status_code()
                if status and self._body and not self._framed:  # a body without a length ends with the connection
                    self.done.set_result(Answer(status, bytes(self._body), self._text))
                    return
        self._fail("EOF" if error is None else f"read: {error}")

    def _fail(self, text: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionFailed(text))
