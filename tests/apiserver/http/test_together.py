"""Answers that are ready at once leave together, in order, and none is lost for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from tests.apiserver.http.httpworld import Directory, get

from kloster.apiserver.http.connections import TOGETHER, Connections, Limits
from kloster.apiserver.http.protocol import Connection
from kloster.apiserver.http.wire import LARGE, MOST_CORKED
from kloster.client.transport import Request, Response


class Wires:
    """A transport that notes what happens to it."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log = log
        self.name = name
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")
        self.log += [f"{self.name}: {part.partition(b' ')[2].split()[1].decode()}" for part in _bodies(data)]

    def writelines(self, data: tuple[bytes, ...]) -> None:
        self.write(b"".join(data))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self.log.append(f"{self.name} closed")

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _bodies(data: bytes) -> list[bytes]:
    """What `answering` wrote as bodies."""
    return [b"GET " + part.partition(b"GET ")[2] for part in data.split(b"HTTP/1.1 200 OK")[1:]]


def answering(request: Request) -> Response:
    text = f"GET at {request.path} ".encode()
    return Response(200, {}, text + b"x" * (LARGE if request.path == "/large" else 0))


class Party:
    """Connections of one server, and what leaves on them, in order."""

    def __init__(self, count: int) -> None:
        directory = Directory(answering)
        self.log: list[str] = []
        self.shared = Connections(directory, Limits())
        self.wires = [Wires(self.log, str(number)) for number in range(count)]
        self.connections = [Connection(self.shared, directory.a.site) for _ in self.wires]
        for connection, wire in zip(self.connections, self.wires, strict=True):
            connection.connection_made(cast(asyncio.BaseTransport, wire))

    def take(self) -> list[str]:
        taken = self.log.copy()
        self.log.clear()
        return taken


def test_answers_wait_for_the_other_requests_of_their_turn() -> None:
    async def scenario() -> None:
        party = Party(3)
        for number in (2, 0, 1):
            party.connections[number].data_received(get(f"/{number}", close=False))
        assert party.take() == []
        await asyncio.sleep(0)
        assert party.take() == ["2: /2", "0: /0", "1: /1"]
        party.connections[0].data_received(get("/again", close=False))
        await asyncio.sleep(0)
        assert party.take() == ["0: /again"]

    asyncio.run(scenario())


def test_many_answers_do_not_wait() -> None:
    async def scenario() -> None:
        party = Party(TOGETHER + 1)
        for connection in party.connections:
            connection.data_received(get("/", close=False))
        assert len(party.take()) == TOGETHER
        await asyncio.sleep(0)
        assert party.take() == [f"{TOGETHER}: /"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("paths", "close", "left"),
    [
        pytest.param(["/a", "/b", "/c"], False, ["0: /a", "0: /b", "0: /c"], id="pipelined"),
        pytest.param(["/a", "/large", "/b"], False, ["0: /a", "0: /large", "0: /b"], id="around-a-large-one"),
        pytest.param(["/a", "/b"], True, ["0: /a", "0: /b", "0 closed"], id="then-closed"),
    ],
)
def test_answers_of_one_connection_keep_their_order(paths: list[str], close: bool, left: list[str]) -> None:
    async def scenario() -> None:
        party = Party(1)
        requests = [get(path, close=close and path == paths[-1]) for path in paths]
        party.connections[0].data_received(b"".join(requests))
        await asyncio.sleep(0)
        assert party.take() == left

    asyncio.run(scenario())


def test_closing_loses_no_answer() -> None:
    async def scenario() -> None:
        party = Party(1)
        party.connections[0].data_received(get("/a", close=False))
        party.connections[0].finish()
        assert party.take() == ["0: /a", "0 closed"]

    asyncio.run(scenario())


def test_a_connection_that_was_dropped_does_not_disturb_the_others() -> None:
    async def scenario() -> None:
        party = Party(2)
        for number, connection in enumerate(party.connections):
            connection.data_received(get(f"/{number}", close=False))
        party.connections[0].abort()
        await asyncio.sleep(0)
        assert party.take() == ["0 closed", "1: /1"]

    asyncio.run(scenario())


def test_a_connection_that_fails_does_not_keep_the_others_answers() -> None:
    async def scenario() -> None:
        party = Party(3)
        for number, connection in enumerate(party.connections):
            connection.data_received(get(f"/{number}", close=False))
        party.wires[1].is_closing = lambda: 1 // 0  # type: ignore[method-assign,assignment,return-value]
        await asyncio.sleep(0)
        assert party.take() == ["0: /0", "2: /2"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("chunks", "left"),
    [
        pytest.param([1, 1], [], id="small-ones-wait"),
        pytest.param([1] * (MOST_CORKED + 1), [MOST_CORKED], id="many-do-not"),
        pytest.param([1, LARGE + 1, 1], [2], id="a-large-one-does-not"),
    ],
)
def test_what_one_connection_sends_soon_is_bounded(chunks: list[int], left: list[int]) -> None:
    async def scenario() -> None:
        party = Party(1)
        writes: list[int] = []
        party.wires[0].write = lambda data: writes.append(data.count(b"<"))  # type: ignore[method-assign]
        for size in chunks:
            party.connections[0]._send(b"<" + b"x" * (size - 1))
        assert writes == left
        await asyncio.sleep(0)
        assert sum(writes) == len(chunks)

    asyncio.run(scenario())


def test_what_streams_send_in_one_turn_leaves_together_and_in_order() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def chunks(name: str) -> AsyncIterator[bytes]:
            yield f"{name}1 ".encode()
            await gate.wait()
            yield f"{name}2 ".encode()
            yield f"{name}3 ".encode()

        party = Party(2)
        party.shared.directory.a.site.handler = lambda request: Response(200, {}, stream=chunks(request.path))  # type: ignore[attr-defined]
        seen: list[str] = []
        for number, wire in enumerate(party.wires):
            wire.write = lambda data, of=number: seen.append(f"{of} {data.decode()}")  # type: ignore[misc]
        for connection in party.connections:
            connection.data_received(get("/", close=False))
        await asyncio.sleep(0.01)
        seen.clear()
        gate.set()
        await asyncio.sleep(0.01)
        assert seen == [f"{of} 3\r\n/2 \r\n3\r\n/3 \r\n0\r\n\r\n" for of in (0, 1)]

    asyncio.run(scenario())
