"""Watches over WebSocket, compared with what kube-apiserver 1.34 answers to the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson
import pytest
from tests.apiserver.world import Api, on_cluster

from kloster.apiserver import websocket
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.negotiation import PROTOBUF

MAPS = "/api/v1/namespaces/n/configmaps"
ASK = {
    "connection": "keep-alive, Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    "origin": "http://example.com",
}
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
END = (8, (1000).to_bytes(2, "big"))


class Peer:
    """The client's end of a connection."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[bytes] = asyncio.Queue()
        self.heard = b""
        self.closed = False
        self.news = asyncio.Event()

    async def read(self) -> bytes:
        return await self.said.get()

    async def write(self, data: bytes) -> None:
        self.heard += data
        self.news.set()

    async def close(self) -> None:
        self.closed = True
        self.news.set()

    def say(self, opcode: int, payload: bytes = b"", *, masked: bool = True) -> None:
        mask = b"\x01\x02\x03\x04"
        if not masked:
            self.said.put_nowait(bytes((0x80 | opcode, len(payload))) + payload)
            return
        size = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        hidden = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        for byte in bytes((0x80 | opcode,)) + size + mask + hidden:
            self.said.put_nowait(bytes((byte,)))

    def frames(self) -> list[tuple[int, bytes]]:
        found, data = [], self.heard
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10], "big"), 10
            found.append((data[0] & 0x0F, data[start : start + size]))
            data = data[start + size :]
        return found

    async def until(self, count: int) -> list[tuple[int, bytes]]:
        async with asyncio.timeout(5):
            while len(self.frames()) < count:
                self.news.clear()
                await self.news.wait()
        return self.frames()


async def connect(
    api: Api, query: str = "", headers: Mapping[str, str] | None = None
) -> tuple[Peer, asyncio.Task[None]]:
    answer = await api.send("GET", f"{MAPS}?watch=1{query}", headers=headers or ASK)
    assert answer.status == 101, answer.body
    assert answer.headers["sec-websocket-accept"] == ACCEPT
    assert answer.upgrade is not None
    peer = Peer()
    return peer, asyncio.ensure_future(answer.upgrade(peer))


def test_every_event_is_a_message() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        peer, serving = await connect(api)
        await peer.until(1)
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "v" * 2000}})
        await api.ok("DELETE", f"{MAPS}/a")
        frames = await peer.until(3)
        assert {opcode for opcode, _ in frames} == {1}
        assert all(message.endswith(b"\n") for _, message in frames)
        shown = [orjson.loads(message) for _, message in frames]
        names = [(event["type"], event["object"]["metadata"]["name"]) for event in shown]
        assert names == [("ADDED", "kube-root-ca.crt"), ("ADDED", "a"), ("DELETED", "a")]
        peer.say(8)
        await asyncio.wait_for(serving, 5)
        assert peer.frames()[3:] == [END]
        assert peer.closed

    on_cluster(body)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f" + (65536).to_bytes(8, "big")),
    ],
)
def test_lengths(size: int, head: bytes) -> None:
    assert websocket.frame(websocket.TEXT, b"x" * size) == head + b"x" * size


def test_protobuf_is_binary_and_without_lengths() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        peer, serving = await connect(api, headers={**ASK, "accept": PROTOBUF})
        ((opcode, message),) = await peer.until(1)
        assert opcode == 2
        assert message.startswith(b"\n\x05ADDED\x12")
        assert b"k8s\x00" in message
        serving.cancel()

    on_cluster(body)


def test_the_end_of_the_watch_is_the_end_of_the_connection() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        peer, serving = await connect(api, "&timeoutSeconds=1")
        await asyncio.wait_for(serving, 5)
        assert peer.frames()[-1] == END

    on_cluster(body)


def test_a_version_that_is_too_old_is_told_in_a_message() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        cluster.store.compact(cluster.store.revision)
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        peer, serving = await connect(api, "&resourceVersion=1")
        await asyncio.wait_for(serving, 5)
        (opcode, message), end = peer.frames()
        assert (opcode, end) == (1, END)
        event = orjson.loads(message)
        assert (event["type"], event["object"]["reason"]) == ("ERROR", "Expired")

    on_cluster(body)


def test_pings_are_answered_and_what_is_said_is_passed_over() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        peer, serving = await connect(api)
        peer.say(1, b"hello" * 100)
        peer.say(9, b"are you there?")
        peer.say(10)
        peer.say(9)
        frames = await peer.until(3)
        assert [one for one in frames if one[0] == 10] == [(10, b"are you there?"), (10, b"")]
        assert not serving.done()
        peer.say(8)
        await asyncio.wait_for(serving, 5)

    on_cluster(body)


@pytest.mark.parametrize("how", ["unmasked", "gone"])
def test_nothing_is_left_behind_when_a_client_leaves(how: str) -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        before = len(asyncio.all_tasks())
        peer, serving = await connect(api)
        await peer.until(1)
        if how == "gone":
            peer.said.put_nowait(b"")
        else:
            peer.say(1, b"x", masked=False)
        await asyncio.wait_for(serving, 5)
        assert ((8, (1002).to_bytes(2, "big")) in peer.frames()) is (how == "unmasked")
        assert peer.closed
        assert len(asyncio.all_tasks()) == before

    on_cluster(body)


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"origin": None}, 403, b""),
        ({"origin": "null"}, 403, b""),
        ({"sec-websocket-protocol": "binary.k8s.io, base64.binary.k8s.io"}, 400, b""),
        ({"sec-websocket-version": "8"}, 400, b"missing or bad WebSocket Version"),
        ({"sec-websocket-key": None}, 400, b"mismatch challenge/response"),
    ],
    ids=["no-origin", "null-origin", "two-protocols", "old-version", "no-key"],
)
def test_handshakes_that_fail(change: Mapping[str, str | None], status: int, text: bytes) -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        headers = {key: value for key, value in {**ASK, **change}.items() if value is not None}
        answer = await api.send("GET", f"{MAPS}?watch=1", headers=headers)
        assert (answer.status, answer.body) == (status, text)
        assert answer.upgrade is None

    on_cluster(body)


def test_the_one_protocol_is_agreed_to() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        headers = {**ASK, "sec-websocket-protocol": "base64.binary.k8s.io"}
        answer = await api.send("GET", f"{MAPS}?watch=1", headers=headers)
        assert answer.headers["sec-websocket-protocol"] == "base64.binary.k8s.io"

    on_cluster(body)


def test_what_is_wrong_with_the_watch_is_told_before() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        answer = await api.json("GET", f"{MAPS}?watch=1&resourceVersion=abc", headers=ASK)
        assert answer["code"] == 500
        assert (await api.json("GET", MAPS, headers=ASK))["kind"] == "ConfigMapList"

    on_cluster(body)
