"""The HTTP transport and informers against a small server that speaks HTTP by hand."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from kloster.aio.clock import SystemClock
from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.client import Client
from kloster.client.errors import ConfigError, ConnectionFailed
from kloster.client.http import HttpTransport
from kloster.client.informers import InformerSource
from kloster.client.kubeconfig import Connection, connection, in_cluster
from kloster.client.resources import CONFIG_MAPS, PODS

Write = Callable[[bytes], Awaitable[None]]


class Server:
    """Answers requests for ConfigMaps: a list of `items`, and watches that get `events` as they are put."""

    def __init__(self) -> None:
        self.items: list[Object] = []
        self.version = 10
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.watches: list[asyncio.Queue[bytes | None]] = []
        self.expired = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                if length := int(headers.get("content-length", 0)):
                    await reader.readexactly(length)
                url = urlsplit(first.split(" ")[1])
                query = dict(parse_qsl(url.query))
                self.requests.append((url.path, query, headers))
                if "upgrade" in headers:
                    await self._echo(reader, writer)
                    break
                if query.get("watch"):
                    await self._watch(writer)
                else:
                    await self._list(writer)
        writer.close()

    async def _list(self, writer: asyncio.StreamWriter) -> None:
        body = orjson.dumps({"metadata": {"resourceVersion": str(self.version)}, "items": self.items})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.watches.append(queue)
        if self.expired:
            self.expired = False
            self.put("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
        while (line := await queue.get()) is not None:
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: SPDY/3.1\r\nconnection: upgrade\r\n\r\nhello ")
        while data := await reader.read(100):
            writer.write(data.upper())
            await writer.drain()

    def put(self, kind: str, item: Object) -> None:
        self.watches[-1].put_nowait(orjson.dumps({"type": kind, "object": item}) + b"\n")

    def change(self, kind: str, name: str, **parts: object) -> None:
        self.version += 1
        self.put(kind, config_map(name, self.version, **parts))


def config_map(name: str, version: int, **parts: object) -> Object:
    metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version), **parts}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Server, Client]]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with HttpTransport(Connection(f"http://127.0.0.1:{port}/prefix", token="secret")) as transport:
        yield server, Client(transport)
    for queue in server.watches:
        queue.put_nowait(None)
    listener.close()
    await listener.wait_closed()
    await asyncio.sleep(0.05)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_requests_carry_prefix_query_and_token() -> None:
    async def main() -> None:
        async with running() as (server, client):
            await client.list(CONFIG_MAPS, "ns", label_selector="a in (b,c),d=e/f")
            path, query, headers = server.requests[0]
            assert path == "/prefix/api/v1/namespaces/ns/configmaps"
            assert query == {"labelSelector": "a in (b,c),d=e/f"}
            assert headers["authorization"] == "Bearer secret"

    asyncio.run(main())


def test_a_refused_connection_is_retryable() -> None:
    async def main() -> None:
        async with HttpTransport(Connection("http://127.0.0.1:1")) as transport:
            with pytest.raises(ConnectionFailed):
                await Client(transport).list(CONFIG_MAPS)

    asyncio.run(main())


class Peer:
    """A Duplex with prepared input."""

    def __init__(self, sent: list[bytes]) -> None:
        self.sent = sent
        self.received = b""
        self.done = asyncio.Event()

    async def read(self) -> bytes:
        if self.sent:
            return self.sent.pop(0)
        await self.done.wait()
        return b""

    async def write(self, data: bytes) -> None:
        self.received += data
        if self.received == b"hello WORLD":
            self.done.set()

    async def close(self) -> None:
        self.done.set()


def test_upgrades_pass_bytes_both_ways() -> None:
    async def main() -> None:
        async with running() as (server, client):
            response = await client.request(
                "POST", PODS.path("ns", "p", "exec"), [("command", "a b")], headers={"upgrade": "SPDY/3.1"}
            )
            assert (response.status, response.headers["upgrade"]) == (101, "SPDY/3.1")
            assert response.upgrade is not None
            peer = Peer([b"wor", b"ld"])
            await asyncio.wait_for(response.upgrade(peer), 10)
            assert peer.received == b"hello WORLD"
            assert server.requests[0][1] == {"command": "a b"}
            assert server.requests[0][2]["authorization"] == "Bearer secret"

    asyncio.run(main())


def test_an_informer_lists_then_follows_and_resumes() -> None:
    async def main() -> None:
        async with running() as (server, client):
            server.items = [config_map("a", 1), config_map("b", 2)]
            source = InformerSource(client, SystemClock(), rng=random.Random(1))
            seen: list[tuple[str, bool, bool]] = []

            def broken(_: Change) -> None:
                raise ZeroDivisionError("must not disturb others")

            def note(change: Change) -> None:
                seen.append((change.object["metadata"]["name"], change.old is not None, change.new is not None))

            async with source:
                source.follow(CONFIG_MAPS, "ns")
                await source.wait_synced(10)
                source.subscribe(CONFIG_MAPS, note)
                with contextlib.suppress(ZeroDivisionError):
                    source.subscribe(CONFIG_MAPS, broken)
                assert seen == [("a", False, True), ("b", False, True)]
                await wait_until(lambda: len(server.watches) == 1)
                owners = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "a"}]
                server.change("ADDED", "c", ownerReferences=owners)
                server.change("MODIFIED", "a")
                server.change("DELETED", "b")
                await wait_until(lambda: len(seen) == 5)
                assert seen[2:] == [("c", False, True), ("a", True, True), ("b", True, False)]
                assert [item["metadata"]["name"] for item in source.owned_by(CONFIG_MAPS, "ns", "a")] == ["c"]
                assert source.get(CONFIG_MAPS, "ns", "b") is None
                version = str(server.version)
                server.watches[-1].put_nowait(None)
                await wait_until(lambda: len(server.watches) == 2)
                assert server.requests[-1][1]["resourceVersion"] == version

    asyncio.run(main())


def test_an_expired_watch_lists_again_and_tells_the_difference() -> None:
    async def main() -> None:
        async with running() as (server, client):
            server.items = [config_map("a", 1), config_map("gone", 2)]
            async with InformerSource(client, SystemClock(), rng=random.Random(1)) as source:
                source.follow(CONFIG_MAPS)
                await source.wait_synced(10)
                await wait_until(lambda: len(server.watches) == 1)
                seen: list[tuple[str, bool]] = []
                source.subscribe(CONFIG_MAPS, lambda c: seen.append((c.object["metadata"]["name"], c.new is None)))
                seen.clear()
                server.items = [config_map("a", 1), config_map("new", 20)]
                server.put("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
                await wait_until(lambda: len(seen) == 2)
                assert seen == [("gone", True), ("new", False)]

    asyncio.run(main())


def test_reading_what_is_not_followed_is_an_error() -> None:
    async def main() -> None:
        async with running() as (_, client), InformerSource(client, SystemClock()) as source:
            with pytest.raises(LookupError, match="configmaps is not followed"):
                source.list(CONFIG_MAPS)

    asyncio.run(main())


KUBECONFIG: Object = {
    "current-context": "one",
    "contexts": [
        {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
        {"name": "two", "context": {"cluster": "missing"}},
    ],
    "clusters": [{"name": "c", "cluster": {"server": "https://host:6443", "certificate-authority-data": "Y2E="}}],
    "users": [{"name": "u", "user": {"token": "t", "client-certificate": "cert.pem", "client-key-data": "a2V5"}}],
}


def test_a_kubeconfig_is_read(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_bytes(b"cert")
    found = connection(KUBECONFIG, base=tmp_path)
    assert (found.server, found.ca, found.namespace, found.token) == ("https://host:6443", b"ca", "team", "t")
    assert (found.certificate, found.key) == (b"cert", b"key")


@pytest.mark.parametrize(
    ("context", "complaint"),
    [("two", "no cluster 'missing'; it has: c"), ("three", "no context 'three'; it has: one, two")],
)
def test_what_a_kubeconfig_lacks_is_named(context: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=complaint):
        connection(KUBECONFIG, context, base=tmp_path)


def test_a_pod_knows_its_cluster(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("ca.crt", "ca"), ("namespace", "team\n")):
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = in_cluster(environment, tmp_path)
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "team")
    with pytest.raises(ConfigError):
        in_cluster({}, tmp_path)
