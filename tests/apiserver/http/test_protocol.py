"""The HTTP grammar, its limits and orders, on a plain socket."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import orjson
import pytest
import uvloop
from tests.apiserver.http.httpworld import HOST, echo, get, serving, talk, until

from kloster.apimachinery import errors
from kloster.apiserver.http.budget import Budget
from kloster.apiserver.http.connections import Limits
from kloster.apiserver.http.grammar import Reception
from kloster.client.transport import Duplex, Request, Response

MIB = 1024 * 1024


def run(scenario: Callable[[], Coroutine[Any, Any, None]], timeout: float = 20.0) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(timeout):
            await scenario()

    uvloop.run(bounded())


def ask(data: bytes, handler: Any = echo, limits: Limits | None = None, wait: float = 5.0) -> bytes:
    """What a server with `handler` sends back for `data` until it hangs up (or stays silent for `wait`)."""
    received = b""

    async def scenario() -> None:
        nonlocal received
        async with serving(handler, limits) as world:
            received = await talk(world.plain, data, wait=wait)

    run(scenario)
    return received


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


HOSTED = b"Host: x\r\n"
POST = b"POST /p HTTP/1.1\r\n" + HOSTED


@pytest.mark.parametrize(
    ("raw", "status", "text"),
    [
        pytest.param(
            POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            b"",
            id="length-and-chunked",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            400,
            b"",
            id="chunked-and-length",
        ),
        pytest.param(POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, b"", id="two-lengths"),
        pytest.param(POST + b"Content-Length: +3\r\n\r\nabc", 400, b"", id="signed-length"),
        pytest.param(POST + b"Content-Length: 0x3\r\n\r\nabc", 400, b"", id="hex-length"),
        pytest.param(POST + b"Content-Length : 3\r\n\r\nabc", 400, b"invalid header name", id="space-before-colon"),
        pytest.param(POST + b"Transfer-Encoding: gzip\r\n\r\nabc", 501, b"Unsupported transfer", id="other-coding"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, b"Unsupported", id="like-chunked"),
        pytest.param(POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501, b"", id="chunked-not-last"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400, b"", id="chunk-overflow"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\nabc\r\n0\r\n\r\n", 400, b"", id="lf-in-chunk"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"X: a\nY: b\r\n\r\n", 400, b"", id="bare-lf"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"X: a\rY: b\r\n\r\n", 400, b"", id="bare-cr"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"X: a\0b\r\n\r\n", 400, b"", id="nul-in-header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"X y: 1\r\n\r\n", 400, b"invalid header name", id="bad-name"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"X: a\r\n b\r\n\r\n", 400, b"", id="folded-header"),
        pytest.param(b"GET /a\0b HTTP/1.1\r\n" + HOSTED + b"\r\n", 400, b"", id="nul-in-path"),
        pytest.param(b"GET /a b HTTP/1.1\r\n" + HOSTED + b"\r\n", 400, b"", id="space-in-path"),
        pytest.param(b"GET /%zz HTTP/1.1\r\n" + HOSTED + b"\r\n", 400, b"400 Bad Request", id="bad-escape"),
        pytest.param(b"GET /%4 HTTP/1.1\r\n" + HOSTED + b"\r\n", 400, b"400 Bad Request", id="short-escape"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, b"missing required Host header", id="no-host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, b"", id="two-hosts"),
        pytest.param(b"GET / HTTP/9.1\r\n" + HOSTED + b"\r\n", 505, b"unsupported protocol version", id="version"),
        pytest.param(b"GET /\r\n\r\n", 505, b"", id="http-0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, b"", id="http-2-preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", 400, b"", id="tls-on-a-plain-port"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400, b"", id="connect"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"Expect: foo\r\n\r\n", 417, b"", id="expectation"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"X: " + b"a" * (MIB + 70_000), 431, b"", id="endless-header"),
        pytest.param(b"GET /" + b"a" * (MIB + 70_000), 431, b"", id="endless-path"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOSTED + b"A: b\r\n" * 200_000 + b"\r\n", 431, b"", id="many-headers"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: bytes, status: int, text: bytes) -> None:
    calls: list[str] = []

    def handler(request: Request) -> Response:
        calls.append(request.path)
        return Response(200)

    received = ask(raw, handler)
    assert received.startswith(b"HTTP/1.1 %d " % status), received[:200]
    assert text in received
    assert b"Connection: close" in received
    assert received.count(b"HTTP/1.1") == 1, "nothing that came behind it may be taken for a request"
    assert calls == []


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        pytest.param("/a%2Fb", "/a/b []", id="encoded-slash-separates"),
        pytest.param("/a/../b", "/a/../b []", id="dots-stay"),
        pytest.param("/a%00b", "/a\x00b []", id="encoded-nul-is-data"),
        pytest.param("//a", "//a []", id="double-slash-stays"),
        pytest.param("/%C3%A4", "/ä []", id="utf-8"),
        pytest.param("/%ff", "/\ufffd []", id="not-utf-8"),
        pytest.param("/?a=b&a=c&d", "/ [('a', 'b'), ('a', 'c'), ('d', '')]", id="query-repeated"),
        pytest.param("/?a=b%3Dc+d%20e", "/ [('a', 'b=c d e')]", id="query-escapes"),
        pytest.param("/?a=%zz&b=1", "/ [('b', '1')]", id="query-bad-pair-dropped"),
        pytest.param("/?a;b=1&c=2", "/ [('c', '2')]", id="query-semicolon-dropped"),
        pytest.param("/a+b", "/a+b []", id="plus-in-path"),
        pytest.param("https://elsewhere/p?q=1", "/p [('q', '1')]", id="absolute-form"),
        pytest.param("/a#b", "/a#b []", id="no-fragments-in-requests"),
    ],
)
def test_targets(target: str, seen: str) -> None:
    assert body_of(ask(get(target))).decode() == f"GET {seen} 0 none"


def test_pipelined_requests_are_answered_in_order() -> None:
    async def handler(request: Request) -> Response:
        await asyncio.sleep(0.02 if request.path == "/0" else 0)
        return Response(200, {}, request.path.encode())

    def mixed(request: Request) -> Response | Awaitable[Response]:
        return handler(request) if int(request.path[1:]) % 3 == 0 else Response(200, {}, request.path.encode())

    raw = b"".join(get(f"/{number}", close=number == 49) for number in range(50))
    answers = ask(raw, mixed).split(b"\r\n\r\n")[1:]
    assert [answer.split(b"HTTP")[0] for answer in answers] == [b"/%d" % number for number in range(50)]


def test_requests_in_pieces_of_any_size_are_the_same_requests() -> None:
    raw = (
        get("/a", close=False)
        + POST
        + b"Content-Length: 5\r\n\r\nhello"
        + POST
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nAuthorization: x\r\n\r\n"
        + get("/z")
    )

    async def scenario() -> None:
        async with serving(echo) as world:
            whole = await talk(world.plain, raw)
            assert whole.count(b"HTTP/1.1 200 OK") == 4
            dice = random.Random(7)
            for _ in range(30):
                reader, writer = await asyncio.open_connection(HOST, world.plain)
                rest = raw
                while rest:
                    size = dice.choice((1, 2, 7, 50))
                    writer.write(rest[:size])
                    await asyncio.sleep(0)
                    await writer.drain()
                    rest = rest[size:]
                assert _without_dates(await reader.read()) == _without_dates(whole)
                writer.close()

    run(scenario)


def _without_dates(received: bytes) -> bytes:
    return b"\n".join(line for line in received.split(b"\n") if not line.startswith(b"Date:"))


def test_a_trailer_is_no_header() -> None:
    seen: list[dict[str, str]] = []

    def handler(request: Request) -> Response:
        seen.append(request.headers)
        return Response(200)

    ask(POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nImpersonate-User: root\r\n\r\n", handler)
    assert "impersonate-user" not in seen[0]


def test_header_names_are_lower_case_and_repeated_values_joined() -> None:
    seen: list[dict[str, str]] = []

    def handler(request: Request) -> Response:
        seen.append(request.headers)
        return Response(200)

    ask(get("/", "Impersonate-Group: a", "IMPERSONATE-GROUP: b", "X: jürgen"), handler)
    assert seen[0]["impersonate-group"] == "a, b"
    assert seen[0]["x"] == "jürgen"


TOO_LARGE = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "Request entity too large: limit is 3145728",
    "reason": "RequestEntityTooLarge",
    "code": 413,
}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"Content-Length: 3145729\r\n\r\n" + b"x" * 3145729, id="length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n300001\r\n" + b"x" * 3145729 + b"\r\n0\r\n\r\n", id="chunked"),
    ],
)
def test_a_body_over_the_limit_gets_upstreams_status_and_the_connection_lives(raw: bytes) -> None:
    received = ask(POST + raw + get("/next"))
    assert received.startswith(b"HTTP/1.1 413 Request Entity Too Large\r\n")
    assert orjson.loads(body_of(received).split(b"HTTP/1.1")[0]) == TOO_LARGE
    assert b"GET /next" in received


def test_bodies_share_a_budget_that_is_given_back() -> None:
    async def scenario() -> None:
        async def eventually(request: Request) -> Response:
            return echo(request)

        def handler(request: Request) -> Response | Awaitable[Response]:
            return eventually(request) if request.path == "/later" else echo(request)

        async with serving(handler, Limits(bodies=2 * MIB)) as world:
            budget = world.server.connections.budget
            _, holder = await asyncio.open_connection(HOST, world.plain)
            holder.write(POST + b"Content-Length: 900000\r\n\r\n" + b"x" * 800_000)
            await until(lambda: budget.used == 800_000)
            large = b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000
            received = await talk(world.plain, POST + large + get("/next"))
            assert received.startswith(b"HTTP/1.1 429 ")
            assert b"Retry-After: 1\r\n" in received
            assert b"GET /next" in received
            holder.transport.abort()
            await until(lambda: budget.used == 0)
            for path in (b"/p", b"/later"):
                raw = POST.replace(b"/p", path) + large + POST.replace(b"/p", path) + b"Connection: close\r\n" + large
                received = await talk(world.plain, raw)
                assert received.count(b" 300000 none") == 2
                assert budget.used == 0

    run(scenario)


def test_a_body_at_the_limit_is_taken() -> None:
    received = ask(POST + b"Connection: close\r\nContent-Length: 3145728\r\n\r\n" + b"x" * 3145728)
    assert body_of(received) == b"POST /p [] 3145728 none"


def test_expect_continue() -> None:
    async def scenario() -> None:
        async with serving(echo) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            writer.close()

    run(scenario)


def test_expect_continue_waits_for_the_answer_before_it() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def handler(request: Request) -> Response:
            await gate.wait()
            return Response(200, {}, request.path.encode())

        async with serving(handler) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            writer.write(get("/first", close=False) + POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n")
            await asyncio.sleep(0.05)
            gate.set()
            first = await reader.readuntil(b"/first")
            assert first.startswith(b"HTTP/1.1 200 OK"), "an interim response here would be taken for the answer"
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.close()

    run(scenario)


def test_expect_continue_with_too_much_is_refused_before_it_is_sent() -> None:
    received = ask(POST + b"Expect: 100-continue\r\nContent-Length: 3145729\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in received


def test_head_sends_the_length_but_no_body() -> None:
    received = ask(get(method="HEAD"), lambda _: Response(200, {}, b"12345"))
    assert b"Content-Length: 5\r\n" in received
    assert body_of(received) == b""


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", False, id="1.0"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True, id="1.0-keep-alive"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True, id="1.1"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False, id="1.1-close"),
    ],
)
def test_keep_alive(raw: bytes, kept: bool) -> None:
    received = ask(raw + (raw if kept else b""), wait=0.3)
    assert received.count(b"200 OK") == (2 if kept else 1)
    assert (b"Connection: close" in received) is not kept


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        pytest.param("a\r\nSet-Cookie: x", b"W: a  Set-Cookie: x", id="crlf"),
        pytest.param("a\nb", b"W: a b", id="lf"),
        pytest.param("a\rb", b"W: a b", id="cr"),
        pytest.param("ä", "W: ä".encode(), id="utf-8"),
    ],
)
def test_a_value_cannot_become_a_header(value: str, lines: bytes) -> None:
    received = ask(get(), lambda _: Response(200, {"W": value, "V": "1"}))
    assert lines in received.split(b"\r\n")
    assert b"V: 1" in received.split(b"\r\n")


@pytest.mark.parametrize(
    ("handler", "status", "message"),
    [
        pytest.param(errors.not_found("", "pods", "x"), 404, 'pods "x" not found', id="status"),
        pytest.param(KeyError("secret"), 500, "the request could not be handled", id="bug"),
    ],
)
@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_errors_of_handlers(handler: Exception, status: int, message: str, later: bool) -> None:
    def now(_: Request) -> Response:
        raise handler

    async def eventually(_: Request) -> Response:
        raise handler

    received = ask(get(), eventually if later else now)
    document = orjson.loads(body_of(received))
    assert document["code"] == status
    assert message in document["message"]
    assert b"secret" not in received


def test_retry_after_is_a_header_too() -> None:
    def handler(_: Request) -> Response:
        raise errors.too_many_requests("later", 7)

    assert b"Retry-After: 7\r\n" in ask(get(), handler)


BIG = b"x" * (200 * 1024)


@pytest.mark.parametrize(
    ("accept", "size", "packed"),
    [
        pytest.param("gzip", len(BIG), True, id="accepted"),
        pytest.param("deflate, gzip;q=1.0", len(BIG), True, id="weighted"),
        pytest.param("gzip;q=0", len(BIG), False, id="ruled-out"),
        pytest.param("deflate", len(BIG), False, id="other"),
        pytest.param("gzip", 128 * 1024, False, id="small"),
        pytest.param("gzip", 2 * MIB, True, id="in-thread"),
    ],
)
@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_large_bodies_are_compressed_for_those_who_accept_it(accept: str, size: int, packed: bool, later: bool) -> None:
    body = b"x" * size

    async def eventually(_: Request) -> Response:
        return Response(200, {"Vary": "Accept"}, body)

    handler: Any = eventually if later else lambda _: Response(200, {"Vary": "Accept"}, body)
    received = ask(get("/", f"Accept-Encoding: {accept}"), handler)
    assert (b"Content-Encoding: gzip\r\n" in received) is packed
    assert (b"Vary: Accept, Accept-Encoding\r\n" in received) is packed
    assert (gzip.decompress(body_of(received)) if packed else body_of(received)) == body


class Chunks:
    """A stream that records how it ended."""

    def __init__(self, count: int, chunk: bytes = b"chunk", endless: bool = False) -> None:
        self.left = count
        self.chunk = chunk
        self.endless = endless
        self.closed = asyncio.Event()
        self.taken = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.left == 0:
            if self.endless:
                await asyncio.Event().wait()
            raise StopAsyncIteration
        self.left -= 1
        self.taken += 1
        return self.chunk

    async def aclose(self) -> None:
        self.closed.set()


def test_streams_are_chunked_closed_and_followed_by_the_next_answer() -> None:
    streams: list[Chunks] = []

    def handler(request: Request) -> Response:
        if request.path == "/next":
            return Response(200, {}, b"next")
        streams.append(Chunks(3))
        return Response(200, {}, stream=streams[0])

    received = ask(get("/s", close=False) + get("/next"), handler)
    assert b"Transfer-Encoding: chunked\r\n" in received
    assert b"5\r\nchunk\r\n5\r\nchunk\r\n5\r\nchunk\r\n0\r\n\r\nHTTP/1.1 200 OK" in received
    assert received.endswith(b"next")
    assert streams[0].closed.is_set()


def test_large_chunks_of_a_stream_are_framed_as_small_ones_are() -> None:
    class Mixed(Chunks):
        async def __anext__(self) -> bytes:
            chunk = await super().__anext__()
            return chunk * (1 if self.taken % 2 else 20_000)

    received = ask(get("/s"), lambda _: Response(200, {}, stream=Mixed(3)))
    body = received.split(b"\r\n\r\n", 1)[1]
    assert body == b"5\r\nchunk\r\n%x\r\n%b\r\n5\r\nchunk\r\n0\r\n\r\n" % (100_000, b"chunk" * 20_000)


def test_a_stream_to_an_http_1_0_client_ends_with_the_connection() -> None:
    received = ask(b"GET / HTTP/1.0\r\n\r\n", lambda _: Response(200, {}, stream=Chunks(2)))
    assert received.startswith(b"HTTP/1.0 200 OK")
    assert body_of(received) == b"chunkchunk"


def test_a_stream_is_closed_when_the_peer_leaves() -> None:
    async def scenario() -> None:
        stream = Chunks(1, endless=True)
        async with serving(lambda _: Response(200, {}, stream=stream)) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            writer.write(get(close=False))
            await reader.readuntil(b"chunk\r\n")
            writer.close()
            assert await asyncio.wait_for(stream.closed.wait(), 2)

    run(scenario)


def test_a_handler_is_cancelled_when_the_peer_leaves() -> None:
    async def scenario() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def handler(_: Request) -> Response:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            raise AssertionError

        async with serving(handler) as world:
            _, writer = await asyncio.open_connection(HOST, world.plain)
            writer.write(get(close=False))
            await begun.wait()
            writer.close()
            assert await asyncio.wait_for(cancelled.wait(), 2)

    run(scenario)


async def _steady(number: Callable[[], int]) -> int:
    """Waits until it has stayed the same for a while."""
    seen, times = number(), 0
    while times < 10:
        await asyncio.sleep(0.01)
        now = number()
        seen, times = now, times + 1 if now == seen else 0
    return seen


def test_a_slow_reader_holds_its_stream_back() -> None:
    async def scenario() -> None:
        stream = Chunks(10_000, b"x" * 65536)
        async with serving(lambda _: Response(200, {}, stream=stream)) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain, limit=1024)
            writer.write(get(close=False))
            await reader.readuntil(b"\r\n\r\n")
            taken = await _steady(lambda: stream.taken)
            assert taken < 1000, "the kernel's buffers and ours, not the whole stream"
            writer.transport.abort()
            await asyncio.wait_for(stream.closed.wait(), 2)

    run(scenario)


def test_many_pipelined_requests_do_not_pile_up_behind_a_slow_one() -> None:
    async def scenario() -> None:
        calls = 0
        gate = asyncio.Event()

        async def handler(_: Request) -> Response:
            nonlocal calls
            calls += 1
            await gate.wait()
            return Response(204)

        async with serving(handler) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            flood = get("/", f"X: {'y' * 1000}", close=False) * 20_000
            writer.write(flood)
            left = await _steady(writer.transport.get_write_buffer_size)
            assert calls == 1
            assert left > 5 * MIB, "the server has stopped reading"
            writer.transport.abort()
            gate.set()
            await reader.read()

    run(scenario)


def test_an_upgrade_hands_over_the_connection_and_what_came_behind() -> None:
    async def shout(duplex: Duplex) -> None:
        while data := await duplex.read():
            await duplex.write(data.upper())
            if b"bye" in data:
                await duplex.close()

    async def scenario() -> None:
        def handler(_: Request) -> Response:
            return Response(101, {"Connection": "Upgrade", "Upgrade": "x"}, upgrade=shout)

        async with serving(handler) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            writer.write(get("/", "Connection: Upgrade", "Upgrade: x", close=False) + b"early")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            assert await reader.readexactly(5) == b"EARLY"
            writer.write(b"x" * MIB + b"bye")
            assert len(await reader.read(-1)) == MIB + 3
            writer.close()

    run(scenario)


def test_a_refused_upgrade_is_an_ordinary_answer_after_which_the_connection_ends() -> None:
    received = ask(get("/", "Connection: Upgrade", "Upgrade: x", close=False) + b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"smuggled" not in received
    assert b"Connection: close\r\n" in received


def test_an_upgrade_that_nobody_asked_for_is_refused() -> None:
    async def never(_: Duplex) -> None:
        raise AssertionError

    received = ask(get(close=False), lambda _: Response(101, {}, upgrade=never))
    assert received.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("begin", "trickle", "status"),
    [
        pytest.param(b"", b"", b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHos", b"t: abcde", b"", id="half-a-head"),
        pytest.param(b"\r\n", b"\r\n\r\n\r\n\r\n", b"", id="empty-lines"),
        pytest.param(POST + b"Content-Length: 100\r\n\r\nabc", b"defghijk", b"HTTP/1.1 408 ", id="half-a-body"),
    ],
)
def test_those_who_dawdle_are_hung_up_on(begin: bytes, trickle: bytes, status: bytes) -> None:
    """A byte now and then does not buy more time. (The limit is longer than what the test waits in earnest.)"""

    async def scenario() -> None:
        async with serving(echo, Limits(head=5, body=5, idle=5)) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            writer.write(begin)
            for second in range(6):
                writer.write(trickle[second : second + 1])
                await asyncio.sleep(0.01)
                world.server.connections.second()
            received = await asyncio.wait_for(reader.read(), 4)
            assert received.startswith(status) if status else not received
            writer.close()

    run(scenario)


def test_an_idle_connection_is_kept_for_its_time() -> None:
    async def scenario() -> None:
        async with serving(echo, Limits(idle=10, head=10)) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            for _ in range(3):
                writer.write(get(close=False))
                await reader.readuntil(b"none")
                for _ in range(9):
                    world.server.connections.second()
            for _ in range(2):
                world.server.connections.second()
            assert await asyncio.wait_for(reader.read(), 4) == b""
            writer.close()

    run(scenario)


def test_closing_lets_requests_finish_ends_streams_cleanly_and_idle_ones_at_once() -> None:
    async def scenario() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> Response:
            if request.path == "/watch":
                return Response(200, {}, stream=Chunks(1, endless=True))
            begun.set()
            await ended.wait()
            return Response(200, {}, b"done")

        async with serving(slow) as world:
            idle = await asyncio.open_connection(HOST, world.plain)
            watch = await asyncio.open_connection(HOST, world.plain)
            busy = await asyncio.open_connection(HOST, world.plain)
            watch[1].write(get("/watch", close=False))
            await watch[0].readuntil(b"chunk\r\n")
            busy[1].write(get("/slow", close=False))
            await begun.wait()
            closing = asyncio.create_task(world.server.close())
            assert await idle[0].read() == b""
            assert await watch[0].read() == b"0\r\n\r\n"
            ended.set()
            assert (await busy[0].read()).endswith(b"done")
            await closing
            assert len(world.server.connections) == 0
            with pytest.raises(OSError):
                await asyncio.open_connection(HOST, world.plain)
            for _, writer in (idle, watch, busy):
                writer.close()

    run(scenario)


def test_closing_is_bounded() -> None:
    async def scenario() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def stuck(_: Request) -> Response:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            raise AssertionError

        async with serving(stuck, drain=0.2) as world:
            reader, writer = await asyncio.open_connection(HOST, world.plain)
            writer.write(get(close=False))
            await begun.wait()
            await world.server.close()
            assert cancelled.is_set()
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    run(scenario)


def test_handlers_that_answer_at_once_need_no_task() -> None:
    async def scenario() -> None:
        tasks: list[int] = []

        def handler(_: Request) -> Response:
            tasks.append(len(world.server.connections._tasks))
            return Response(200)

        async with serving(handler) as world:
            for _ in range(3):
                await talk(world.plain, get())
            assert tasks == [0, 0, 0]

    run(scenario)


def test_no_garbage_makes_the_parser_fail() -> None:
    """Whatever comes, it is a request or a refusal, never an exception, and never held twice."""
    dice = random.Random(11)
    seed = (
        POST
        + b"Content-Length: 5\r\nExpect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello"
        + POST
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n"
    )
    alphabet = b"\0\r\n :;,%/?#aZ09\xff\x80"
    for _ in range(5000):
        raw = bytearray(seed)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(raw))
            raw[at : at + dice.randint(0, 2)] = bytes(dice.choices(alphabet, k=dice.randint(0, 3)))
        budget = Budget()
        reception = Reception(budget)
        cut = dice.randrange(len(raw))
        reception.feed(bytes(raw[:cut]))
        reception.feed(bytes(raw[cut:]))
        reception.close()
        assert budget.used == 0
