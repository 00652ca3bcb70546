"""A head that was seen before is taken without the parser, and nothing else is; what comes out is the same."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kloster.apiserver.http.budget import Budget
from kloster.apiserver.http.grammar import Reception
from kloster.apiserver.http.repeated import MAX_BLOCK, MAX_KNOWN, Block, Blocks

LINES = b"Host: x\r\nAuthorization: Bearer abc\r\nAccept: application/json\r\n\r\n"
HEADERS = {"host": "x", "authorization": "Bearer abc", "accept": "application/json"}
FIRST = b"GET /first HTTP/1.1\r\n" + LINES


class Watched(Blocks):
    """Notes what it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.hits = 0

    def learn(self, data: bytes, url: bytes, headers: dict[str, str], size: int) -> Block | None:
        found = super().learn(data, url, headers, size)
        if found is None:
            return None
        watched = self

        class Counting(Block):
            def target(self, data: bytes) -> bytes | None:
                target = super().target(data)
                watched.hits += target is not None
                return target

        return Counting(found.data, found.headers, found.size)


def understood(reception: Reception) -> list[Any]:
    """Everything that the connection is told, taken out."""
    found: list[Any] = [
        (one.method, one.url, one.headers, one.head, bytes(one.body), one.minor, one.keep_alive, one.error)
        for one in reception.queue
    ]
    reception.queue.clear()
    unfinished = reception.incoming
    found.append(None if unfinished is None else (unfinished.url, unfinished.headers, reception.head_done))
    found.append((reception.refusal, reception.wants_continue, reception.upgraded, reception.leftover))
    return found


class Forgetful(Blocks):
    """Knows nothing: every request goes through the parser."""

    def learn(self, data: bytes, url: bytes, headers: dict[str, str], size: int) -> Block | None:
        return None


def both(chunks: list[bytes]) -> tuple[list[Any], list[Any], int]:
    """What a reception makes of chunks with and without knowing blocks; how often the parser was not needed."""
    watched = Watched()
    with_it, without = Reception(Budget(), watched), Reception(Budget(), Forgetful())
    answers: tuple[list[Any], list[Any]] = [], []
    for chunk in chunks:
        for reception, answer in ((with_it, answers[0]), (without, answers[1])):
            reception.feed(chunk)
            answer.append(understood(reception))
    return *answers, watched.hits


@pytest.mark.parametrize(
    ("chunk", "hits"),
    [
        pytest.param(b"GET /second HTTP/1.1\r\n" + LINES, 1, id="another-path"),
        pytest.param(b"GET /s?a=b&c=%20,d HTTP/1.1\r\n" + LINES, 1, id="a-query"),
        pytest.param(b"GET /s#f HTTP/1.1\r\n" + LINES, 0, id="a-fragment"),
        pytest.param(b"GET /\xc3\xa4 HTTP/1.1\r\n" + LINES, 0, id="not-ASCII"),
        pytest.param(b"GET /a\tb HTTP/1.1\r\n" + LINES, 0, id="a-control-character"),
        pytest.param(b"GET /a b HTTP/1.1\r\n" + LINES, 0, id="a-space"),
        pytest.param(b"GET https://x/second HTTP/1.1\r\n" + LINES, 0, id="absolute-form"),
        pytest.param(b"GET  /second HTTP/1.1\r\n" + LINES, 0, id="two-spaces"),
        pytest.param(b"GET /second HTTP/1.0\r\n" + LINES, 0, id="older-version"),
        pytest.param(b"get /second HTTP/1.1\r\n" + LINES, 0, id="lower-case"),
        pytest.param(b"POST /second HTTP/1.1\r\n" + LINES, 0, id="another-method"),
        pytest.param(b"HEAD /second HTTP/1.1\r\n" + LINES, 0, id="head"),
        pytest.param(b"GET /second HTTP/1.1\n" + LINES, 0, id="bare-line-feed"),
        pytest.param(b"GET /second HTTP/1.1\r\nImpersonate-User: root\r\n" + LINES, 0, id="one-more-line-in-front"),
        pytest.param(b"GET /second HTTP/1.1\r\nContent-Length: 4\r\n" + LINES + b"abcd", 0, id="a-body"),
        pytest.param(b"GET /second HTTP/1.1\r\nContent-Length: 66\r\n\r\n" + LINES, 0, id="a-body-that-is-the-block"),
        pytest.param(b"GET /second HTTP/1.1\r\n" + LINES.replace(b"abc", b"abd"), 0, id="another-token"),
        pytest.param(b"GET /second HTTP/1.1\r\n" + LINES + b"\r\n", 0, id="more-behind"),
        pytest.param(b"\r\nGET /second HTTP/1.1\r\n" + LINES, 0, id="an-empty-line-in-front"),
        pytest.param(b"GET /2 HTTP/1.1\r\n" + LINES + b"GET /3 HTTP/1.1\r\n" + LINES, 0, id="two-at-once"),
        pytest.param(LINES, 0, id="the-block-alone"),
    ],
)
def test_only_a_plain_request_with_the_very_same_lines_is_known(chunk: bytes, hits: int) -> None:
    mine, parsed, found = both([FIRST, chunk])
    assert found == hits
    assert mine == parsed


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", id="that-closes"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", id="that-upgrades"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", id="that-may-have-a-body"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="with-a-body"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: something\r\n\r\n", id="that-is-refused"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * MAX_BLOCK + b"\r\n\r\n", id="too-large"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", id="of-another-version"),
        pytest.param(b"GET / HTTP/1.1\r\nX: y\r\n\r\n", id="without-host"),
    ],
)
def test_nothing_is_learnt_from_a_request(first: bytes) -> None:
    mine, parsed, hits = both([first, first, first])
    assert hits == 0
    assert mine == parsed


def test_nothing_is_taken_in_the_midst_of_a_request() -> None:
    """The parser waits for a body that happens to look like a request that is known."""
    inner = b"GET /inner HTTP/1.1\r\n" + LINES
    post = b"POST /outer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner)
    mine, parsed, hits = both([FIRST, post, inner, FIRST, FIRST])
    assert mine == parsed
    assert mine[2][0][4] == inner
    assert hits == 1  # the last: the one before it is parsed, and learnt again


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"GET /first HTTP/1.1\r\nImpersonate-User: ", FIRST, FIRST, FIRST], id="begun-before"),
        pytest.param([b"\r\n", FIRST, FIRST], id="behind-an-empty-line"),
        pytest.param([FIRST + b"POS", FIRST + b"POS"], id="with-the-beginning-of-the-next"),
        pytest.param([FIRST + b"\r\n", FIRST + b"\r\n", FIRST], id="with-an-empty-line"),
        pytest.param([FIRST + FIRST, FIRST + FIRST], id="two"),
    ],
)
def test_a_block_is_what_a_whole_request_had(chunks: list[bytes]) -> None:
    """Nothing that came before, or in between, becomes part of what is known: other connections would have it, too."""
    mine, parsed, _ = both(chunks)
    assert mine == parsed
    blocks = Blocks()
    sender, other = Reception(Budget(), blocks), Reception(Budget(), blocks)
    for chunk in chunks:
        sender.feed(chunk)
    for _ in range(2):
        other.feed(FIRST)
    assert [one.headers for one in other.queue] == [HEADERS, HEADERS]


def test_what_a_handler_does_to_the_headers_stays_with_its_request() -> None:
    reception = Reception(Budget())
    for _ in range(3):
        reception.feed(FIRST)
        assert reception.queue.popleft().headers.pop("authorization") == "Bearer abc"


def test_blocks_are_bounded() -> None:
    blocks = Blocks()
    for number in range(3 * MAX_KNOWN):
        Reception(Budget(), blocks).feed(b"GET / HTTP/1.1\r\nHost: x%d\r\n\r\n" % number)
    assert 0 < len(blocks._known) <= MAX_KNOWN


def test_any_pieces_of_any_requests_are_the_same_requests() -> None:
    """Requests, whole, cut, joined and damaged, in any order."""
    dice = random.Random(5)
    known = [
        b"GET /%d HTTP/1.1\r\n" + LINES,
        b"GET /%d HTTP/1.1\r\n" + LINES,
        b"GET /%d HTTP/1.1\r\nHost: y\r\n\r\n",
        b"POST /%d HTTP/1.1\r\nHost: y\r\nContent-Length: 5\r\n\r\nhello",
        b"PUT /%d HTTP/1.1\r\nHost: y\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]
    total = 0
    for _ in range(1500):
        chunks = []
        for _ in range(dice.randint(2, 8)):
            chunk = dice.choice(known) % dice.randrange(100)
            if dice.random() < 0.1:
                at = dice.randrange(len(chunk))
                chunk = chunk[:at] + dice.choice([b"", b"\r\n", b" ", b"\0", b"G"]) + chunk[at + dice.randint(0, 1) :]
            if dice.random() < 0.2:
                at = dice.randrange(len(chunk))
                chunks += [chunk[:at], chunk[at:]]
            elif dice.random() < 0.2 and chunks:
                chunks[-1] += chunk
            else:
                chunks.append(chunk)
        mine, parsed, hits = both([chunk for chunk in chunks if chunk])
        assert mine == parsed, chunks
        total += hits
    assert total > 200
