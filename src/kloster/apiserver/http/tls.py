"""TLS contexts, and the server name of a ClientHello that has not been read yet.

Why the name is peeked at rather than taken from the `sni_callback`: switching the context of a handshake replaces
the certificate and the trust store, not the decision to ask for a client certificate (measured, see
docs/decisions/0003-sni-and-ports.md), and sessions could be resumed across contexts. So the ClientHello is looked at
with MSG_PEEK, the context is chosen, and only then a handshake begins, with nothing shared between clusters.

A client certificate of a foreign CA gets a refused handshake (an alert), where upstream answers 401: OpenSSL as
Python offers it cannot complete a handshake with a certificate that it does not trust.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from kloster.client.pem import load_pair


@dataclass(frozen=True, slots=True)
class Material:
    """PEM texts of a server. `client_ca` empty: client certificates are not asked for."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: str = ""


def server_context(material: Material) -> ssl.SSLContext:
    """A context for one cluster: TLS 1.2 or newer, HTTP/1.1, client certificates of its own CA only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # One ticket is enough for clients that reconnect; each context has ticket keys of its own.
    context.num_tickets = 1
    load_pair(context, material.chain + b"\n" + material.key)
    if material.client_ca:
        context.load_verify_locations(cadata=material.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class NotTLS(ValueError):
    """What arrived is not the beginning of a TLS handshake."""


MAX_HELLO = 16 * 1024
"""Bytes of a ClientHello that are looked at (usual are 0.3 to 2 KB; those with post-quantum key shares are large)."""


def server_name(data: bytes) -> str | None:
    """The SNI host name, lower case, "" if there is none; None when more bytes are needed. Raises NotTLS.

    RFC 8446 section 4.1.2 and RFC 6066 section 3. A hello may be spread over several records.
    """
    hello = bytearray()
    at = 0
    while True:
        if len(data) < at + 5:
            # Complain about the first byte at once: a plain HTTP client sends less than a record and waits.
            if len(data) > at and data[at] != 22:
                raise NotTLS("no TLS handshake record")
            return None
        if data[at] != 22 or data[at + 1] != 3:
            raise NotTLS("no TLS handshake record")
        length = int.from_bytes(data[at + 3 : at + 5])
        hello += data[at + 5 : at + 5 + length]
        if len(hello) >= 4:
            if hello[0] != 1:
                raise NotTLS("no ClientHello")
            wanted = 4 + int.from_bytes(hello[1:4])
            if wanted > MAX_HELLO:
                raise NotTLS("ClientHello too large")
            if len(hello) >= wanted:
                return _name_in(bytes(hello[4:wanted]))
        if len(data) < at + 5 + length:
            return None
        at += 5 + length


def _name_in(body: bytes) -> str:
    at = 2 + 32  # version, random
    at += 1 + _int(body, at, 1)  # session id
    at += 2 + _int(body, at, 2)  # cipher suites
    at += 1 + _int(body, at, 1)  # compression methods
    if at == len(body):
        return ""
    end = at + 2 + _int(body, at, 2)
    at += 2
    while at + 4 <= end:
        kind, size = _int(body, at, 2), _int(body, at + 2, 2)
        at += 4
        if kind == 0:
            if _int(body, at + 2, 1) != 0:
                return ""
            length = _int(body, at + 3, 2)
            try:
                return body[at + 5 : at + 5 + length].decode("ascii").lower()
            except UnicodeDecodeError:
                raise NotTLS("server name is not ASCII") from None
        at += size
    return ""


def _int(body: bytes, at: int, size: int) -> int:
    if len(body) < at + size:
        raise NotTLS("truncated ClientHello")
    return int.from_bytes(body[at : at + size])
