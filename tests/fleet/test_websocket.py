"""Watches over WebSocket, with a client that nobody here wrote."""

from __future__ import annotations

import asyncio

import aiohttp
from tests.fleet.world import World, in_fleet, write

from kloster.client.credentials import tls_context
from kloster.client.resources import CONFIG_MAPS


@in_fleet
async def test_aiohttp_watches(world: World) -> None:
    await world.create("dev")
    connection = await world.connection("dev")
    client = world.connect(connection)
    path = "/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Dmine"
    asking = {"ssl": tls_context(connection), "origin": "https://example.com", "protocols": ("base64.binary.k8s.io",)}
    async with aiohttp.ClientSession() as session, session.ws_connect(connection.server + path, **asking) as socket:  # type: ignore[arg-type]
        assert socket.protocol == "base64.binary.k8s.io"
        await socket.ping()
        await write(client, "mine", a="1")
        event = await asyncio.wait_for(socket.receive_json(), 10)
        assert (event["type"], event["object"]["data"]) == ("ADDED", {"a": "1"})
        await write(client, "other", a="1")
        await client.delete(CONFIG_MAPS, "default", "mine")
        assert (await asyncio.wait_for(socket.receive_json(), 10))["type"] == "DELETED"
    async with aiohttp.ClientSession() as session:
        short = connection.server + path + "&timeoutSeconds=1"
        async with session.ws_connect(short, **asking) as socket:  # type: ignore[arg-type]
            closing = await asyncio.wait_for(socket.receive(), 10)
            assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1000)
