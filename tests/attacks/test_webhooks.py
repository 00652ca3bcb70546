"""Whoever may write webhook configurations decides where the fleet's process connects to: not to its own machine."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fleet.world import World, in_fleet, write

from kloster.apimachinery.errors import StatusError
from kloster.apiserver import pki
from kloster.client.api import Resource

GROUP = "admissionregistration.k8s.io"
VALIDATING = Resource(GROUP, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False)


@asynccontextmanager
async def service_of_the_machine(folder: Path) -> AsyncIterator[tuple[int, str, list[bytes]]]:
    """Something that listens on loopback and is none of the tenants' business; the connections that it got."""
    authority = pki.Authority.create("machine", time.time())
    pair = authority.serving(["localhost", "127.0.0.1"], time.time())
    (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    reached: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], authority.certificate.decode(), reached


def configuration(url: str, ca: str) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    webhook = {
        "name": "reach.example.org",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(ca.encode()).decode()},
        "rules": [rule],
    }
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "reach"},
        "webhooks": [webhook],
    }


@in_fleet
async def test_a_tenant_does_not_reach_the_machine_that_serves_it(world: World) -> None:
    await world.create("tenant")
    client = await world.client("tenant")
    async with service_of_the_machine(world.directory.root) as (port, ca, reached):
        for host in ("localhost", "127.0.0.1", "[::1]", "0.0.0.0", "169.254.169.254"):
            await client.create(VALIDATING, configuration(f"https://{host}:{port}/", ca))
            with pytest.raises(StatusError) as caught:
                await write(client, "a")
            assert "may not be called" in caught.value.message, caught.value.message
            await client.delete(VALIDATING, "", "reach")
        assert reached == []
    await write(client, "a")
