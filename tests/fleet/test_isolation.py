"""Credentials of one cluster are worth nothing at any address of another. Over real TLS, at real addresses."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
import yaml
from tests.fleet.world import World, fleet, make_namespace, unverified

from kloster.apimachinery import Object
from kloster.client.pem import load_pair
from kloster.client.resources import SERVICE_ACCOUNTS

PODS = "/api/v1/pods"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect, the name to ask for in the handshake, and what stands before paths."""

    server: str
    name: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Credentials of one cluster: a client certificate or a token."""

    pem: bytes = b""
    token: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """A cluster's addresses and its administrator's credentials."""

    addresses: dict[str, Address]
    identities: dict[str, Identity]


def ask(address: Address, identity: Identity, path: str = PODS) -> tuple[int | str, Any]:
    """(status, body) of a GET; ("refused", None) if the handshake was."""
    context = unverified()
    if identity.pem:
        load_pair(context, identity.pem)
    parts = urlsplit(address.server)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=10, context=context)
    try:
        http.client.HTTPConnection.connect(connection)
        connection.sock = context.wrap_socket(connection.sock, server_hostname=address.name or parts.hostname)
        headers = {"Authorization": f"Bearer {identity.token}"} if identity.token else {}
        connection.request("GET", address.prefix + path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return "refused", None
    finally:
        connection.close()


async def party(world: World, cluster: Object) -> Party:
    metadata, status = cluster["metadata"], cluster["status"]
    namespace, name = metadata["namespace"], metadata["name"]
    user = (await world.kubeconfig(name, namespace))["users"][0]["user"]
    pem = b"\n".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
    client = await world.client(name, namespace)

    async def account() -> str:
        while True:
            found = await client.list(SERVICE_ACCOUNTS, "kube-system")
            if any(one["metadata"]["name"] == "default" for one in found.items):
                break
            await asyncio.sleep(0.01)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        made = await client.create_subresource(SERVICE_ACCOUNTS, "kube-system", "default", "token", request)
        return str(made["status"]["token"])

    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "kube-system"}],
    }
    await client.json("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body=binding)
    common = world.running.common
    addresses = {
        "port": Address(status["endpoint"]),
        "sni": Address(common, status["serverName"]),
        "path": Address(common, prefix=f"/clusters/{namespace}/{name}"),
    }
    return Party(addresses, {"certificate": Identity(pem), "token": Identity(token=await account())})


def test_credentials_are_worth_nothing_elsewhere(tmp_path: Path) -> None:
    async def body() -> None:
        async with fleet(tmp_path) as world:
            await make_namespace(world.host, "team")
            one = await party(world, await world.create("dev", kubernetesVersion="1.34"))
            other = await party(world, await world.create("dev", "team", kubernetesVersion="1.36"))
            answers: dict[tuple[str, str, str], int | str] = {}
            for whose, mine in (("own", one), ("foreign", other)):
                for way, address in one.addresses.items():
                    for kind, identity in mine.identities.items():
                        status, _ = await asyncio.to_thread(ask, address, identity)
                        answers[whose, way, kind] = status
            assert {key: answer for key, answer in answers.items() if key[0] == "foreign"} == {
                ("foreign", "port", "certificate"): "refused",
                ("foreign", "port", "token"): 401,
                ("foreign", "sni", "certificate"): "refused",
                ("foreign", "sni", "token"): 401,
                ("foreign", "path", "certificate"): 403,  # never asked for: anonymous
                ("foreign", "path", "token"): 401,
            }
            assert {key: answer for key, answer in answers.items() if key[0] == "own"} == {
                ("own", "port", "certificate"): 200,
                ("own", "port", "token"): 200,
                ("own", "sni", "certificate"): 200,
                ("own", "sni", "token"): 200,
                ("own", "path", "certificate"): 403,  # the common address takes tokens only
                ("own", "path", "token"): 200,
            }
            await _the_host(world, one)
            await _tricks(one, other)

    uvloop.run(asyncio.wait_for(body(), 100))


async def _the_host(world: World, one: Party) -> None:
    """Nobody of a virtual cluster is anybody on the host, nor the other way round."""
    admin = yaml.safe_load(world.directory.admin_kubeconfig.read_text())
    server = Address(admin["clusters"][0]["cluster"]["server"])
    for kind, identity in one.identities.items():
        for address in (server, Address(world.running.common)):
            status, _ = await asyncio.to_thread(ask, address, identity)
            assert status in (401, 403, "refused"), (kind, address, status)
    user = admin["users"][0]["user"]
    pem = b"\n".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
    assert (await asyncio.to_thread(ask, server, Identity(pem)))[0] == 200
    for address in one.addresses.values():
        status, _ = await asyncio.to_thread(ask, address, Identity(pem))
        assert status in (403, "refused"), (address, status)


async def _tricks(one: Party, other: Party) -> None:
    """What chooses the cluster is the port or the name, then nothing else; paths count where neither does."""
    token = one.identities["token"]
    inside = "/clusters/team/dev"
    attempts: dict[str, tuple[Address, str]] = {
        "path on own port": (Address(one.addresses["port"].server, prefix=inside), PODS),
        "path behind a name": (Address(one.addresses["sni"].server, one.addresses["sni"].name, inside), PODS),
        "name at another's port": (Address(other.addresses["port"].server, one.addresses["sni"].name), PODS),
        "dots": (one.addresses["path"], "/../../team/dev/api/v1/pods"),
        "encoded": (
            Address(one.addresses["path"].server, prefix="/clusters/default/dev%2f..%2f..%2fteam"),
            "/dev" + PODS,
        ),
        "case": (Address(one.addresses["sni"].server, "DEV.TEAM.kloster.internal"), PODS),
    }
    for what, (address, path) in attempts.items():
        status, answer = await asyncio.to_thread(ask, address, token, path)
        assert status in (401, 403, 404), (what, status, answer)
    upper = Address(one.addresses["sni"].server, one.addresses["sni"].name.upper())
    assert (await asyncio.to_thread(ask, upper, token))[0] == 200, "names are the same in either case"


@pytest.mark.parametrize(
    "path", ["/clusters/default/nope/api", "/clusters/nope/dev/api", "/clusters/default", "/clusters/", "/clusters"]
)
def test_paths_of_no_cluster_are_not_found(tmp_path: Path, path: str) -> None:
    async def body() -> None:
        async with fleet(tmp_path) as world:
            status, text = await asyncio.to_thread(ask, Address(world.running.common), Identity(), path)
            assert status in (403, 404)
            if status == 404:
                assert json.loads(text)["reason"] == "NotFound"

    uvloop.run(asyncio.wait_for(body(), 60))
