"""Watches over WebSocket, with a client that nobody here wrote."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import aiohttp
import pytest
from tests.fleet.world import World, in_fleet, write

from kloster.client.credentials import tls_context
from kloster.client.resources import CONFIG_MAPS, ROLE_BINDINGS, SERVICE_ACCOUNTS

VIEW = {
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
}


@in_fleet
async def test_a_browser_shows_its_token_among_the_protocols(world: World) -> None:
    await world.create("dev")
    connection = await world.connection("dev")
    client = world.connect(connection)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await client.create_subresource(SERVICE_ACCOUNTS, "default", "default", "token", asked)
    await client.create(ROLE_BINDINGS, {"metadata": {"name": "v", "namespace": "default"}, **VIEW})
    token = base64.urlsafe_b64encode(made["status"]["token"].encode()).decode().rstrip("=")
    address = f"{connection.server}/api/v1/namespaces/default/configmaps?watch=1"
    context = tls_context(replace(connection, certificate=None, key=None))
    name = f"base64url.bearer.authorization.k8s.io.{token}"
    async with aiohttp.ClientSession() as session:

        async def ask(*protocols: str) -> str | None:
            asking = session.ws_connect(address, ssl=context, origin="https://example.com", protocols=protocols)
            async with asking as socket:
                assert (await asyncio.wait_for(socket.receive_json(), 10))["type"] == "ADDED"
                return socket.protocol

        assert await ask(name, "base64.binary.k8s.io") == "base64.binary.k8s.io"
        for refused, code in (
            ((name,), 401),
            ((name, name, "x"), 401),
            ((name[:-5] + "AAAAA", "x"), 401),
            ((name + "=", "x"), 401),
            (("x",), 403),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await ask(*refused)
            assert caught.value.status == code, refused


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
