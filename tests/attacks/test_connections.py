"""Connections that hang: whoever lets them hang at one cluster's port must not keep others from theirs."""

from __future__ import annotations

import asyncio

from tests.apiserver.http.httpworld import HOST, client_context, echo, get, serving, talk

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
