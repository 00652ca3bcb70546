"""Webhooks by Service: whoever may write Services and EndpointSlices does not choose where the server connects to.

The host's nodes are replaced by one that forwards ports to a server of the test, so that the whole way is gone: from a
tenant's write over its Service to its host pod. What was connected to is known.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.attacks.test_webhooks import VALIDATING, configuration
from tests.client.kubelet import Kubelet
from tests.fleet.world import World, eventually, in_fleet, write

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import pki
from kloster.client.client import Client
from kloster.client.resources import ENDPOINT_SLICES, PODS, SERVICES
from kloster.client.transport import Request, Response
from kloster.nodes.simulated.connector import SimulatedConnector

AUTHORITY = pki.Authority.create("tenant", time.time())


class Nodes(SimulatedConnector):
    """Forwards each pod's port 8443 to a server of this machine; which pods it was asked for."""

    def __init__(self, port: int) -> None:
        self._kubelet = Kubelet({8443: port})
        self.reached: list[str] = []
        self.refusal: StatusError | None = None

    def connect(self, request: Request, subresource: str, pod: Object) -> Awaitable[Response]:
        if subresource != "portforward":
            return super().connect(request, subresource, pod)
        if self.refusal is not None:
            raise self.refusal
        self.reached.append(f"{pod['metadata']['name']}:{request.param('ports')}")
        return self._kubelet(request)


@asynccontextmanager
async def webhook(folder: Path, *names: str) -> AsyncIterator[tuple[int, list[Any]]]:
    """A webhook that refuses; what it was asked."""
    pair = AUTHORITY.serving(list(names), time.time())
    (folder / "hook.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "hook.pem")
    asked: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        review = orjson.loads(await reader.readexactly(int(head.lower().split(b"length: ")[1].split(b"\r\n")[0])))
        asked.append((head.split(b" ")[1].decode(), review))
        response = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": "no"}}
        body = orjson.dumps({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response})
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


@asynccontextmanager
async def hosted(world: World, *names: str) -> AsyncIterator[tuple[Nodes, list[Any]]]:
    async with webhook(world.directory.root, *names) as (port, asked):
        nodes = world.running.host.cluster.served.ports.nodes = Nodes(port)
        yield nodes, asked
        await asyncio.sleep(0.05)  # the connections end


def pod(name: str, **spec: Any) -> Object:
    ports = [{"name": "hooks", "containerPort": 8443}]
    container = {"name": "c", "image": "hooks", "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "hooks"}},
        "spec": {"containers": [container], **spec},
    }


def service(name: str = "hooks", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


JSON = {"content-type": "application/json"}
PORTS = [{"port": 443, "targetPort": "hooks"}]


def endpoints(target: Object | None, address: str = "10.9.9.9", port: int = 8443, **more: Any) -> Object:
    """A slice by hand, with whatever a tenant may write into it."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "by-hand",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "hooks"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], **({"targetRef": target} if target else {}), **more}],
        "ports": [{"name": "", "port": port}],
    }


async def configure(client: Client, name: str = "hooks", **more: Any) -> None:
    made = configuration("", AUTHORITY.certificate.decode())
    made["webhooks"][0]["clientConfig"] = {
        "service": {"name": name, "namespace": "default", "path": "/check", **more},
        "caBundle": base64.b64encode(AUTHORITY.certificate).decode(),
    }
    await client.create(VALIDATING, made)


async def refusal(client: Client) -> str:
    with pytest.raises(StatusError) as caught:
        await write(client, "a")
    return caught.value.message


async def wait_ready(client: Client, name: str) -> Object:
    async def so() -> bool:
        found = await client.get(PODS, "default", name)
        return any(one["type"] == "Ready" and one["status"] == "True" for one in found["status"].get("conditions", ()))

    await eventually(so)
    return await client.get(PODS, "default", name)


def reference(found: Object, **changes: str) -> Object:
    metadata = found["metadata"]
    return {"kind": "Pod", "name": metadata["name"], "namespace": "default", "uid": metadata["uid"], **changes}


@in_fleet
async def test_a_service_leads_to_its_pod(world: World) -> None:
    """And the certificate must be for its name, whoever answers."""
    await world.create("tenant")
    client = await world.client("tenant")
    async with hosted(world, "hooks.default.svc") as (nodes, asked):
        await client.create(PODS, pod("hook"))
        await client.create(SERVICES, service(selector={"app": "hooks"}, ports=PORTS))
        await client.create(SERVICES, service("alias", selector={"app": "hooks"}, ports=PORTS))
        await configure(client)
        await wait_ready(client, "hook")

        async def so() -> bool:
            return "denied the request: no" in await refusal(client)

        await eventually(so)
        assert asked[0][0] == "/check?timeout=10s" and asked[0][1]["request"]["operation"] == "CREATE"
        assert set(nodes.reached) == {"hook-x-default-x-tenant:8443"}
        await client.delete(VALIDATING, "", "reach")
        await configure(client, "alias")

        async def checked() -> bool:
            return "certificate is not valid for this name" in await refusal(client)

        await eventually(checked)


@in_fleet
async def test_endpoints_by_hand_lead_to_nothing_but_own_pods(world: World) -> None:
    await world.create("tenant")
    await world.create("other")
    client, stranger = await world.client("tenant"), await world.client("other")
    async with hosted(world, "hooks.default.svc") as (nodes, asked):
        await stranger.create(PODS, pod("theirs"))
        await client.create(PODS, pod("mine"))
        theirs, mine = await wait_ready(stranger, "theirs"), await wait_ready(client, "mine")
        await client.create(SERVICES, service(ports=[{"port": 443}]))
        await configure(client)
        await refusal(client)
        for target, address in (
            (None, "192.0.2.10"),
            (None, "10.96.0.1"),
            (None, str(theirs["status"]["podIP"])),
            (reference(theirs), str(theirs["status"]["podIP"])),
            (reference(theirs, name="theirs-x-default-x-other"), "10.9.9.9"),
            (reference(mine, uid=theirs["metadata"]["uid"]), "10.9.9.9"),
            (reference(mine, namespace="kube-system"), "10.9.9.9"),
            (reference(mine, kind="Node"), "10.9.9.9"),
        ):
            await client.create(ENDPOINT_SLICES, endpoints(target, address))
            assert 'no pod of this cluster is behind service "hooks"' in await refusal(client)
            await client.delete(ENDPOINT_SLICES, "default", "by-hand")
        assert nodes.reached == [] and asked == []
        # an own pod is reached, wherever the slice says that it is
        await client.create(ENDPOINT_SLICES, endpoints(reference(mine), "10.96.0.1"))
        assert "denied the request: no" in await refusal(client)
        assert nodes.reached == ["mine-x-default-x-tenant:8443"]
        await client.delete(ENDPOINT_SLICES, "default", "by-hand")
        await client.create(ENDPOINT_SLICES, endpoints(reference(mine), conditions={"ready": False}))
        assert 'no endpoints available for service "hooks"' in await refusal(client)


@in_fleet
async def test_a_pods_status_is_not_believed(world: World) -> None:
    """A tenant may write its pods' addresses; the pod that has no host pod is not reached at all."""
    await world.create("tenant")
    client = await world.client("tenant")
    async with hosted(world, "hooks.default.svc") as (nodes, _):
        await client.create(PODS, pod("adrift", schedulingGates=[{"name": "example.org/never"}]))
        found = await client.get(PODS, "default", "adrift")
        found["status"] = {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        await client.update(PODS, found, subresource="status")
        await client.create(SERVICES, service(ports=[{"port": 443}]))
        await client.create(ENDPOINT_SLICES, endpoints(reference(found)))
        await configure(client)
        text = await refusal(client)
        assert "no route to host" in text or "does not have a host assigned" in text, text
        assert nodes.reached == []


@in_fleet
async def test_pods_in_the_nodes_network_are_not_reached(world: World) -> None:
    """Even if their cluster may have them: their ports are the node's."""
    await world.create("tenant", policies={"podSecurityStandard": "privileged"})
    client = await world.client("tenant")
    async with hosted(world, "hooks.default.svc") as (nodes, _):
        await client.create(PODS, pod("node-like", hostNetwork=True))
        found = await wait_ready(client, "node-like")
        await client.create(SERVICES, service(ports=[{"port": 443}]))
        await client.create(ENDPOINT_SLICES, endpoints(reference(found)))
        await configure(client)
        assert "connects to nothing" in await refusal(client)
        assert nodes.reached == []


@in_fleet
async def test_what_the_host_says_of_itself_is_not_told(world: World) -> None:
    """Why it does not forward a port may name its nodes, and who asks it."""
    await world.create("tenant")
    client = await world.client("tenant")
    async with hosted(world, "hooks.default.svc") as (nodes, _):
        nodes.refusal = StatusError(403, "Forbidden", "User system:kloster on node-1 (10.0.0.7) may not")
        await client.create(PODS, pod("mine"))
        found = await wait_ready(client, "mine")
        await client.create(SERVICES, service(ports=[{"port": 443}]))
        await client.create(ENDPOINT_SLICES, endpoints(reference(found)))
        await configure(client)
        text = await refusal(client)
        assert "the host does not forward this port" in text and "system:kloster" not in text, text


@pytest.mark.parametrize(
    ("made", "text"),
    [
        pytest.param(None, 'service "hooks" not found', id="none"),
        pytest.param(
            service(type="ExternalName", externalName="localhost"), 'unsupported service type "ExternalName"', id="name"
        ),
        pytest.param(service(ports=[{"port": 80}]), 'no service port 443 found for service "hooks"', id="other-port"),
        pytest.param(
            service(ports=[{"port": 443}], externalIPs=["192.0.2.10"]),
            'no endpoints available for service "hooks"',
            id="external-ips",
        ),
    ],
)
@in_fleet
async def test_services_that_lead_elsewhere(world: World, made: Object | None, text: str) -> None:
    await world.create("tenant")
    client = await world.client("tenant")
    if made is not None:
        await client.create(SERVICES, made)
    await configure(client)
    assert await refusal(client) == (
        'Internal error occurred: failed calling webhook "reach.example.org": failed to call webhook: '
        f'Post "https://hooks.default.svc:443/check?timeout=10s": {text}'
    )


@in_fleet
async def test_the_clusters_own_api_is_not_reached(world: World) -> None:
    await world.create("tenant")
    client = await world.client("tenant")
    await configure(client, "kubernetes")
    assert 'no endpoints available for service "kubernetes"' in await refusal(client)


@in_fleet
async def test_stand_ins_are_where_webhooks_may_be(world: World) -> None:
    """Who may have a cluster for tests does not thereby reach the machine that serves it."""
    await world.create("tenant", testing={"enabled": True})
    await world.create("plain")
    client = await world.client("tenant")
    async with webhook(world.directory.root, "hooks.default.svc") as (port, asked):
        stand_in = {"kind": "service", "namespace": "default", "name": "hooks", "port": 0}
        for host in ("127.0.0.1", "localhost", "169.254.169.254"):
            body = orjson.dumps({"standIns": [{**stand_in, "host": host, "at": port}]})
            put = Request(
                "PUT", "/kloster.dev/testing/stand-ins", headers={"content-type": "application/json"}, body=body
            )
            assert (await client.transport(put)).status == 200
            if host == "127.0.0.1":
                assert (await (await world.client("plain")).transport(put)).status == 404
                await client.create(SERVICES, service(ports=[{"port": 443}]))
                await configure(client)
            assert "may not be called" in await refusal(client)
        assert asked == []
