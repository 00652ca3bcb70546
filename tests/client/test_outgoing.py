"""Calls to addresses that somebody else chose: what is reached, what is refused, what bounds it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kloster.apiserver import pki
from kloster.client import outgoing
from kloster.client.errors import ConnectionFailed
from kloster.client.outgoing import Outgoing, Reach, Refused, is_elsewhere

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
AUTHORITY = pki.Authority.create("outside", time.time())
CA = AUTHORITY.certificate.decode()


@asynccontextmanager
async def serving(folder: Path, answer: bytes = OK, pause: float = 0.0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server for ``localhost``; what it was asked."""
    pair = AUTHORITY.serving(["localhost"], time.time())
    (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        asked.append(head + await reader.readexactly(length))
        await asyncio.sleep(pause)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


def test_a_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as (port, asked):
            answer = await Outgoing(Reach.ANYWHERE).post(f"https://localhost:{port}/x?t=1", b"[1]", ca=CA, timeout=10)
            assert (answer.status, answer.body) == (200, b"{}")
            assert asked[0].startswith(b"POST /x?t=1 HTTP/1.1\r\nHost: localhost:") and asked[0].endswith(b"[1]")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(b"", "EOF", id="nothing"),
        pytest.param(b"SSH-2.0-x\r\n\r\n", "malformed HTTP response", id="not-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "EOF", id="cut"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, "the answer is larger than 1000 bytes", id="large"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, text: str) -> None:
    monkeypatch.setattr(outgoing, "LARGEST_ANSWER", 1000)

    async def main() -> None:
        async with serving(tmp_path, answer) as (port, _):
            with pytest.raises(ConnectionFailed, match=text):
                await Outgoing(Reach.ANYWHERE).post(f"https://localhost:{port}/", b"", ca=CA, timeout=10)

    asyncio.run(main())


def test_time_is_bounded(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, pause=5.0) as (port, _):
            with pytest.raises(ConnectionFailed, match="context deadline exceeded"):
                await Outgoing(Reach.ANYWHERE).post(f"https://localhost:{port}/", b"", ca=CA, timeout=0.2)

    asyncio.run(main())


def test_certificates_are_checked(tmp_path: Path) -> None:
    other = pki.Authority.create("other", time.time()).certificate.decode()

    async def main() -> None:
        async with serving(tmp_path) as (port, _):
            calls = Outgoing(Reach.ANYWHERE)
            for host, ca, text in (
                ("localhost", other, "certificate signed by unknown authority"),
                ("localhost", "", "certificate signed by unknown authority"),
                ("127.0.0.1", CA, "certificate is not valid for this name"),
                ("localhost", "nonsense", "unable to parse bytes as PEM block"),
            ):
                with pytest.raises(ConnectionFailed, match=text):
                    await calls.post(f"https://{host}:{port}/", b"", ca=ca, timeout=10)

    asyncio.run(main())


def _own_address() -> str:
    """An address of this machine's that is no loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.1.2.3",
        "::1",
        "::",
        "169.254.169.254",
        "fe80::1%1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_of_this_machine_and_its_link(address: str) -> None:
    assert not is_elsewhere(address)


def test_addresses_elsewhere() -> None:
    assert is_elsewhere("192.0.2.77") and is_elsewhere("10.1.2.3") and is_elsewhere("2001:db8::1")


def test_this_machines_other_addresses() -> None:
    try:
        address = _own_address()
    except OSError:
        pytest.skip("this machine has no network")
    assert not is_elsewhere(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1"])
def test_the_attack_on_this_machine_is_refused(tmp_path: Path, host: str) -> None:
    """However the address is written, nothing connects."""

    async def main() -> None:
        async with serving(tmp_path) as (port, asked):
            with pytest.raises(ConnectionFailed) as caught:
                await Outgoing(Reach.ELSEWHERE).post(f"https://{host}:{port}/", b"", ca=CA, timeout=10)
            assert isinstance(caught.value, Refused) or "no such host" in str(caught.value)
            assert asked == []

    asyncio.run(main())
