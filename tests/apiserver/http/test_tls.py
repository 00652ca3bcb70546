"""Which cluster a TLS connection reaches, and as whom: every address against every certificate."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.apiserver.http.httpworld import HOST, Cluster, client_context, echo, get, serving, talk

from kloster.apiserver.http import listeners, tls
from kloster.apiserver.http.connections import Limits
from kloster.apiserver.http.sites import split_cluster_path
from kloster.apiserver.pki import Authority, Pair
from kloster.client.transport import Request, Response


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    uvloop.run(bounded())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Pair], tuple[str, str]]:
    """Puts a pair into files, for clients."""

    def to_files(pair: Pair) -> tuple[str, str]:
        certificate, key = tmp_path / "c.crt", tmp_path / "c.key"
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        return str(certificate), str(key)

    return to_files


REFUSED = b"refused"

Write = Callable[[Pair], tuple[str, str]]


async def attempt(
    port: int,
    trust: Cluster,
    name: str,
    path: str,
    pair: Pair | None,
    write: Write,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> bytes:
    """What the handler answered, or REFUSED when the handshake failed."""
    context = client_context(trust.authority, pair, write)
    context.minimum_version = context.maximum_version = version
    try:
        received = await talk(port, get(path), context, name)
    except (ssl.SSLError, ConnectionError):
        return REFUSED
    return received.partition(b"\r\n\r\n")[2] or REFUSED


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def test_addresses_and_certificates(write: Write, version: ssl.TLSVersion) -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            d = world.directory
            a, b, common = d.a, d.b, d.shared
            ours, theirs = a.admin(), b.admin()
            stranger = Authority.create("stranger", time.time()).client("admin", ["system:masters"], time.time())
            table: list[tuple[str, int, Cluster, str, str, Pair | None, bytes]] = [
                ("own port, own certificate", world.port_a, a, HOST, "/x", ours, b"GET /x [] 0 cert"),
                ("own port, no certificate", world.port_a, a, HOST, "/x", None, b"GET /x [] 0 none"),
                ("own port, another cluster's certificate", world.port_a, a, HOST, "/x", theirs, REFUSED),
                ("own port, a stranger's certificate", world.port_a, a, HOST, "/x", stranger, REFUSED),
                ("own port, SNI of another cluster", world.port_a, b, "b.test", "/x", None, REFUSED),
                ("SNI, own certificate", world.common, a, "a.test", "/x", ours, b"GET /x [] 0 cert"),
                ("SNI, other cluster", world.common, b, "b.test", "/x", theirs, b"GET /x [] 0 cert"),
                ("SNI of another cluster with own certificate", world.common, b, "b.test", "/x", ours, REFUSED),
                ("SNI in capitals", world.common, a, "A.TEST", "/x", ours, b"GET /x [] 0 cert"),
                ("SNI, path of another cluster", world.common, a, "a.test", "/clusters/ns/b/x", ours,
                 b"GET /clusters/ns/b/x [] 0 cert"),
                ("path, no certificate", world.common, common, "common.test", "/clusters/ns/a/x", None,
                 b"GET /x [] 0 none"),
                ("path, with a certificate nobody asks for", world.common, common, "common.test",
                 "/clusters/ns/a/x", ours, b"GET /x [] 0 none"),
                ("path, no SNI", world.common, common, HOST, "/clusters/ns/b/x?y=1", theirs,
                 b"GET /x [('y', '1')] 0 none"),
                ("outside /clusters", world.common, common, HOST, "/healthz", None, b"GET /healthz [] 0 none"),
            ]  # fmt: skip
            for label, port, trust, name, path, pair, expected in table:
                found = await attempt(port, trust, name, path, pair, write, version)
                assert found == expected, label

    run(scenario)


def test_an_unknown_cluster_path_is_not_found() -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            received = await talk(world.plain, get("/clusters/ns/nobody/api"))
            assert received.startswith(b"HTTP/1.1 404 ")
            assert b"the server could not find the requested resource" in received

    run(scenario)


def test_the_prefix_is_told_where_there_is_one() -> None:
    seen: list[tuple[str, str]] = []

    def handler(request: Request) -> Response:
        seen.append((request.prefix, request.path))
        return Response(200)

    async def scenario() -> None:
        async with serving(handler) as world:
            await talk(world.plain, get("/clusters/ns/a/api"))
            await talk(world.plain, get("/healthz"))
        assert seen == [("/clusters/ns/a", "/api"), ("", "/healthz")]

    run(scenario)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        pytest.param("/clusters/ns/a", ("ns", "a", "/"), id="root"),
        pytest.param("/clusters/ns/a/", ("ns", "a", "/"), id="slash"),
        pytest.param("/clusters/ns/a/api/v1", ("ns", "a", "/api/v1"), id="below"),
        pytest.param("/clusters/ns/a/../b/api", ("ns", "a", "/../b/api"), id="dots-do-not-climb"),
        pytest.param("/clusters/ns/a%2F..%2Fb/api", ("ns", "a%2F..%2Fb", "/api"), id="encoded-slash-is-no-slash"),
        pytest.param("/clusters/ns%2Fa/api", ("ns%2Fa", "api", "/"), id="encoded-slash-in-namespace"),
        pytest.param("/clusters//a/api", None, id="no-namespace"),
        pytest.param("/clusters/ns", None, id="no-name"),
        pytest.param("/clusters/ns/", None, id="empty-name"),
        pytest.param("/Clusters/ns/a", None, id="case"),
        pytest.param("//clusters/ns/a", None, id="double-slash"),
        pytest.param("/x/../clusters/ns/a", None, id="detour"),
    ],
)
def test_cluster_paths(path: str, parts: tuple[str, str, str] | None) -> None:
    assert split_cluster_path(path) == parts


def test_a_context_exists_from_the_first_handshake_until_it_is_forgotten(write: Write) -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            d = world.directory
            assert not d.a.site.holds_context
            assert await attempt(world.port_a, d.a, HOST, "/x", None, write) == b"GET /x [] 0 none"
            assert d.a.site.holds_context
            assert not d.b.site.holds_context, "an idle cluster holds no TLS state"
            d.a.site.forget()
            assert not d.a.site.holds_context
            assert await attempt(world.common, d.a, "a.test", "/x", d.a.admin(), write) == b"GET /x [] 0 cert"

    run(scenario)


def test_a_session_of_one_cluster_does_not_open_another(write: Write) -> None:
    """A resumed session carries its client certificate with it; it must not be resumable elsewhere."""

    async def scenario() -> None:
        async with serving(echo) as world:
            d = world.directory
            context = client_context(d.a.authority, d.a.admin(), write)
            context.load_verify_locations(cadata=d.b.authority.certificate.decode())
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            first = await asyncio.to_thread(_resumed, context, world.common, "a.test", None)
            again = await asyncio.to_thread(_resumed, context, world.common, "a.test", first[0])
            assert again[1], "the same cluster resumes: the test can tell"
            try:
                other = await asyncio.to_thread(_resumed, context, world.common, "b.test", first[0])
            except (ssl.SSLError, ConnectionError):
                return
            assert not other[1]
            assert not other[2].endswith(b"cert")

    run(scenario)


def _resumed(
    context: ssl.SSLContext, port: int, name: str, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool, bytes]:
    raw = socket.create_connection((HOST, port), timeout=5)
    with context.wrap_socket(raw, server_hostname=name, session=session) as client:
        client.sendall(get("/x"))
        received = b""
        while data := client.recv(65536):
            received += data
        return client.session, bool(client.session_reused), received


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="half-a-hello"),
    ],
)
def test_a_handshake_has_a_time_limit(begin: bytes) -> None:
    async def scenario() -> None:
        async with serving(echo, Limits(handshake=0.3)) as world:
            for port in (world.common, world.port_a):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(begin)
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), 3) == b""
                writer.close()

    run(scenario)


def test_http_on_a_tls_port_is_hung_up_on() -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            for port in (world.common, world.port_a):
                with suppress(ConnectionError):
                    assert b"200 OK" not in await talk(port, get())

    run(scenario)


def test_a_cluster_whose_certificates_cannot_be_read_harms_nobody_else(write: Write) -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            d = world.directory
            d.a.site.material = lambda: tls.Material(b"no certificate", b"no key")
            assert await attempt(world.port_a, d.a, HOST, "/x", None, write) == REFUSED
            assert await attempt(world.port_b, d.b, HOST, "/x", None, write) == b"GET /x [] 0 none"

    run(scenario)


def test_old_tls_is_refused(write: Write) -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            context = client_context(world.directory.a.authority, None, write)
            with pytest.warns(DeprecationWarning):
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await talk(world.port_a, get(), context, HOST)

    run(scenario)


def test_alpn_is_http_1_1(write: Write) -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            context = client_context(world.directory.a.authority, None, write)
            context.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await asyncio.open_connection(HOST, world.port_a, ssl=context, server_hostname=HOST)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.close()

    run(scenario)


def test_closing_one_cluster_leaves_the_others(write: Write) -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            d = world.directory
            connections = []
            for port, cluster in ((world.port_a, d.a), (world.port_b, d.b)):
                context = client_context(cluster.authority, None, write)
                pair = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=HOST)
                pair[1].write(get("/1", close=False))
                await pair[0].readuntil(b"none")
                connections.append(pair)
            await world.server.close_site("a")
            assert await connections[0][0].read() == b""
            connections[1][1].write(get("/2", close=False))
            assert b"/2" in await connections[1][0].readuntil(b"none")
            for _, writer in connections:
                writer.close()

    run(scenario)


class TestServerName:
    """The parser of ClientHellos."""

    @staticmethod
    def hello(name: str | None, alpn: bool = True) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        if alpn:
            context.set_alpn_protocols(["h2", "http/1.1"])
        context.check_hostname = False
        client = context.wrap_bio(incoming, outgoing, server_hostname=name)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        return outgoing.read()

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            pytest.param("a.test", "a.test", id="name"),
            pytest.param("A.Test", "a.test", id="capitals"),
            pytest.param("x" * 60 + ".test", "x" * 60 + ".test", id="long"),
            pytest.param("127.0.0.1", "", id="addresses-are-no-names"),
            pytest.param(None, "", id="none"),
        ],
    )
    def test_names(self, name: str | None, found: str) -> None:
        assert tls.server_name(self.hello(name)) == found

    def test_every_beginning_asks_for_more(self) -> None:
        hello = self.hello("a.test")
        assert [tls.server_name(hello[:size]) for size in range(len(hello))] == [None] * len(hello)

    def test_a_hello_in_several_records(self) -> None:
        hello = self.hello("a.test")
        body = hello[5:]
        parts = [body[:3], body[3:100], body[100:]]
        split = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)
        assert tls.server_name(split) == "a.test"

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"GET / HTTP/1.1\r\n", id="http"),
            pytest.param(b"G", id="one-byte"),
            pytest.param(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", id="no-hello"),
            pytest.param(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", id="too-large"),
            pytest.param(b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03", id="truncated"),
        ],
    )
    def test_what_is_no_hello(self, data: bytes) -> None:
        with pytest.raises(tls.NotTLS):
            tls.server_name(data)

    def test_no_flipped_byte_escapes(self) -> None:
        hello = self.hello("a.test")
        for at in range(len(hello)):
            for value in (0, 0xFF):
                changed = hello[:at] + bytes([value]) + hello[at + 1 :]
                try:
                    tls.server_name(changed)
                except tls.NotTLS:
                    continue


class TestBinding:
    def test_a_port_in_use_is_named(self) -> None:
        with listeners.bind_tcp(HOST, 0) as first:
            port = first.getsockname()[1]
            with pytest.raises(listeners.AddressInUse, match=f"cannot listen on {HOST}:{port}: another process uses"):
                listeners.bind_tcp(HOST, port)

    def test_descriptors(self) -> None:
        assert listeners.raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def test_an_address_that_is_not_ours(self) -> None:
        with pytest.raises(listeners.AddressInUse, match="no such address"):
            listeners.bind_tcp("203.0.113.1", 0)

    def test_a_stale_unix_socket_is_replaced_a_live_one_is_not(self, tmp_path: Path) -> None:
        path = str(tmp_path / "s")
        listeners.bind_unix(path).close()
        with listeners.bind_unix(path):
            assert (tmp_path / "s").stat().st_mode & 0o077 == 0, "only this user may connect"
            with pytest.raises(listeners.AddressInUse, match="another process listens there"):
                listeners.bind_unix(path)

    def test_a_unix_socket_serves_and_is_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "s"

        async def scenario() -> None:
            async with serving(echo) as world:
                world.server.listen_unix(str(path))
                reader, writer = await asyncio.open_unix_connection(str(path))
                writer.write(get("/clusters/ns/a/x"))
                assert (await reader.read()).endswith(b"GET /x [] 0 none")
                writer.close()

        run(scenario)
        assert not path.exists()
