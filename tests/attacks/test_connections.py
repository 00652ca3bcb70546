"""Connections that hang: whoever lets them hang at one cluster's port must not keep others from theirs."""

from __future__ import annotations

import asyncio

import pytest
from tests.apiserver.http.httpworld import HOST, World, client_context, echo, get, serving, talk, until

from kloster.apiserver.http import budget
from kloster.apiserver.http.connections import Limits
from kloster.apiserver.pki import Pair

HALF_OPEN = 40


def _unused(_: Pair) -> tuple[str, str]:
    raise AssertionError


def test_half_open_handshakes_at_one_port() -> None:
    async def go() -> None:
        async with serving(echo, Limits(handshakes=32)) as world:
            hanging = [await asyncio.open_connection(HOST, world.port_a) for _ in range(HALF_OPEN)]
            await asyncio.sleep(0.1)
            context = client_context(world.directory.b.authority, None, _unused)
            answer = await talk(world.port_b, get(), context, HOST)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            for _, writer in hanging:
                writer.close()

    asyncio.run(go())


ELSEWHERE = "127.0.0.2"


async def _hello(world: World, port: int) -> bytes:
    authority = (world.directory.a if port == world.port_a else world.directory.b).authority
    return await talk(port, get(), client_context(authority, None, _unused), HOST)


def test_half_open_handshakes_from_one_address() -> None:
    """Whoever attacks all ports from one address blocks none for others."""

    async def go() -> None:
        async with serving(echo, Limits(handshakes=32)) as world:
            ports = (world.port_a, world.port_b, world.common)
            hanging = [
                await asyncio.open_connection(HOST, port, local_addr=(ELSEWHERE, 0))
                for port in ports
                for _ in range(HALF_OPEN)
            ]
            await asyncio.sleep(0.1)
            for port in ports[:2]:
                answer = await _hello(world, port)
                assert answer.startswith(b"HTTP/1.1 200"), answer
            for _, writer in hanging:
                writer.close()

    asyncio.run(go())


BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 900_000
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 900_000


class TestUnfinished:
    """Requests that never end, of somebody who need not be known: they leave room for others."""

    @staticmethod
    @pytest.mark.parametrize("sent", [BODY, HEAD], ids=["bodies", "heads"])
    @pytest.mark.parametrize("address", [HOST, ELSEWHERE], ids=["from the same address", "from another address"])
    def test_at_one_cluster(sent: bytes, address: str) -> None:
        async def go() -> None:
            async with serving(echo, Limits(bodies=16 << 20)) as world:
                context = client_context(world.directory.a.authority, None, _unused)
                hanging = []
                for _ in range(20):
                    opened = asyncio.open_connection(
                        HOST, world.port_a, ssl=context, server_hostname=HOST, local_addr=(address, 0)
                    )
                    hanging.append(await opened)
                    hanging[-1][1].write(sent)
                budget = world.server.connections.budget
                await until(lambda: budget.used > 1_000_000)
                await asyncio.sleep(0.2)
                assert budget.used <= 2 << 20
                other = client_context(world.directory.b.authority, None, _unused)
                answer = await talk(world.port_b, BODY + b"x" * 100_000 + get(), other, HOST)
                assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
                if address == ELSEWHERE:  # nor is the cluster itself out of reach
                    answer = await talk(world.port_a, BODY + b"x" * 100_000 + get(), context, HOST)
                    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
                for _, writer in hanging:
                    writer.transport.abort()
                await until(lambda: budget.used == 0)

        asyncio.run(go())

    @staticmethod
    def test_at_many_clusters_from_one_address() -> None:
        async def go() -> None:
            async with serving(echo, Limits(bodies=16 << 20)) as world:
                hanging = []
                for number in range(40):
                    path = b"POST /clusters/n/%d/" % number
                    hanging.append(await asyncio.open_connection(HOST, world.plain, local_addr=(ELSEWHERE, 0)))
                    hanging[-1][1].write(BODY.replace(b"POST /", path, 1))
                budget = world.server.connections.budget
                await until(lambda: budget.used > 4_000_000)
                await asyncio.sleep(0.2)
                assert budget.used <= 8 << 20
                answer = await talk(world.plain, BODY + b"x" * 100_000 + get())
                assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
                for _, writer in hanging:
                    writer.transport.abort()
                await until(lambda: budget.used == 0)

        asyncio.run(go())

    @staticmethod
    def test_whose_they_are() -> None:
        assert budget.origin("203.0.113.7") == "203.0.113.7"
        assert budget.origin("::ffff:203.0.113.7") == "203.0.113.7"
        assert budget.origin("2001:db8:1:2:3:4:5:6") == budget.origin("2001:db8:1:2::1")
        assert budget.origin("2001:db8:1:2::1") != budget.origin("2001:db8:1:3::1")
        assert budget.origin("fe80::1%eth0") == budget.origin("fe80::2%eth0")
