"""Speaking for somebody else: credentials of another cluster, forged headers, permissions that nobody granted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.apiserver import world as memory
from tests.fleet.world import World, in_fleet

from kloster.apimachinery import Object
from kloster.apiserver.authorization.escalation import Escalation
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.client.errors import ConnectionFailed
from kloster.client.http import HttpTransport
from kloster.client.kubeconfig import Connection
from kloster.client.transport import Request, User

RBAC = "/apis/rbac.authorization.k8s.io/v1"
EDITOR = User("editor", groups=("system:authenticated",))
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
QUESTION = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
FORGED = {
    "x-remote-user": "admin",
    "x-remote-group": "system:masters",
    "x-remote-extra-scopes": "x",
    "x-forwarded-user": "admin",
    "x-ssl-client-cert": "anything",
}


# --- inside one cluster -------------------------------------------------------------------------------------------


async def with_roles() -> tuple[memory.Api, memory.Api]:
    """(administrator, somebody who may write cluster roles and nothing else)."""
    cluster = await memory.make()
    view = cluster.view
    rbac = Rbac(StoredRoles(cluster.store, lambda entry: view.object(entry) or {}))
    cluster.authorizer = rbac
    cluster.ports.escalation = Escalation(rbac, rbac)
    admin, editor = memory.Api(cluster), memory.Api(cluster, EDITOR)
    verbs = ["get", "list", "create", "update", "patch", "delete"]
    resources = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"]
    rule = {"verbs": verbs, "apiGroups": ["rbac.authorization.k8s.io"], "resources": resources}
    await admin.ok("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "editor"}, "rules": [rule]})
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "editor"}
    role = {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "editor"}
    await admin.ok(
        "POST",
        f"{RBAC}/clusterrolebindings",
        {"metadata": {"name": "editor"}, "subjects": [subject], "roleRef": role},
    )
    power: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    await admin.ok("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "power"}, "rules": [power]})
    return admin, editor


AGGREGATE = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
WRITES: dict[str, tuple[str, str, Object]] = {
    "a label that aggregates it": (
        "PATCH",
        "clusterroles/power",
        {"metadata": {"labels": AGGREGATE}},
    ),
    "an annotation": ("PATCH", "clusterroles/power", {"metadata": {"annotations": {"a": "b"}}}),
    "more rules": (
        "PATCH",
        "clusterroles/editor",
        {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}]},
    ),
    "an aggregation": (
        "POST",
        "clusterroles",
        {"metadata": {"name": "x"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}},
    ),
    "a binding": (
        "POST",
        "clusterrolebindings",
        {
            "metadata": {"name": "x"},
            "roleRef": {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "power"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "editor"}],
        },
    ),
}


class TestEscalation:
    @pytest.mark.parametrize(("method", "path", "body"), WRITES.values(), ids=WRITES.keys())
    def test_is_refused(self, method: str, path: str, body: Object) -> None:
        async def go() -> None:
            _, editor = await with_roles()
            answer = await editor.send(method, f"{RBAC}/{path}", body)
            assert answer.status == 403, answer.body
            assert b"RBAC permissions not currently held" in answer.body or b"aggregationRule" in answer.body

        asyncio.run(go())

    @pytest.mark.parametrize(
        "change",
        [{"finalizers": ["a.example/b"]}, {"labels": {}}],
        ids=["what the garbage collector changes", "nothing"],
    )
    def test_what_gives_nothing_may_be_written(self, change: Object) -> None:
        async def go() -> None:
            _, editor = await with_roles()
            await editor.ok("PATCH", f"{RBAC}/clusterroles/power", {"metadata": change})

        asyncio.run(go())


# --- between clusters, over the network ---------------------------------------------------------------------------


async def who(connection: Connection, prefix: str = "", **headers: str) -> tuple[int, Any]:
    """(status, user name and groups) as the cluster sees who asks; status 0 for a refused handshake."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request("POST", prefix + WHOAMI, [], {"content-type": "application/json", **headers}, QUESTION)
    async with HttpTransport(connection) as transport:
        try:
            answer = await transport(request)
        except ConnectionFailed:
            return 0, None
    body = memory.orjson.loads(answer.body)
    return answer.status, (body.get("status") or {}).get("userInfo") if answer.status < 300 else None


async def token_of(world: World, name: str) -> str:
    """A token of the default account of a cluster."""
    client = await world.client(name)
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    for _ in range(100):
        answer = await client.transport(
            Request("POST", path, [], {"content-type": "application/json"}, memory.orjson.dumps(body))
        )
        if answer.status == 201:
            return str(memory.orjson.loads(answer.body)["status"]["token"])
        await asyncio.sleep(0.05)
    raise AssertionError(answer.body)


@in_fleet
async def test_credentials_of_one_cluster_are_nothing_in_another(world: World) -> None:
    for name in ("a", "b"):
        await world.create(name)
    a, b = await world.connection("a"), await world.connection("b")
    token = await token_of(world, "a")
    common = replace(a, server=world.running.common, tls_server_name="b.default.kloster.internal")
    blank: dict[str, Any] = {"certificate": None, "key": None}
    nobody = Connection(b.server, ca=b.ca)

    status, user = await who(a)
    assert (status, user["username"]) == (201, "kubernetes-admin")
    bearer = f"Bearer {token}"
    own = Connection(a.server, ca=a.ca)
    status, user = await who(own, authorization=bearer)
    assert (status, user["username"]) == (201, "system:serviceaccount:default:default")

    # A's certificate, at b's port and by b's name on the common address.
    assert (await who(replace(a, server=b.server, ca=b.ca)))[0] in (0, 401)
    assert (await who(replace(common, ca=b.ca)))[0] in (0, 401)
    # A's token at b's port; forged headers of front proxies there.
    assert (await who(nobody, authorization=bearer))[0] == 401
    assert (await who(nobody, **FORGED))[0] in (401, 403)
    assert (await who(nobody, impersonate_user="kubernetes-admin", impersonate_group="system:masters"))[0] == 403
    # At the common address, where the path chooses: with a's certificate, with a's token.
    plain = replace(common, tls_server_name="", ca=host_authority(world))
    for cluster, expected in (("a", (201,)), ("b", (401,))):
        found = await who(replace(plain, **blank), f"/clusters/default/{cluster}", authorization=bearer)
        assert found[0] in expected, (cluster, found)
    for cluster in ("a", "b"):
        assert (await who(plain, f"/clusters/default/{cluster}"))[0] in (0, 401, 403)
    assert (await who(replace(plain, **blank), "", authorization=bearer))[0] == 401  # the host itself


TRICKS = (
    "/clusters/default/a/../b",
    "/clusters/default/a/%2e%2e/b",
    "/clusters/default%2fb",
    "/clusters/default/a%2f..%2fb",
    "//clusters/default/b",
    "/clusters//default/b",
    "/clusters/default/b%00",
    "/clusters/default/B",
    "/clusters/default/b/clusters/default/a",
    "/clusters/" + "x" * 100_000 + "/b",
)


@in_fleet
async def test_a_path_leads_to_one_cluster(world: World) -> None:
    """Whatever the path, a's token is worth nothing but in a; each request of a connection is looked at by itself."""
    for name in ("a", "b"):
        await world.create(name)
    token = await token_of(world, "a")
    to = Connection(world.running.common, ca=host_authority(world))
    bearer = f"Bearer {token}"
    for trick in TRICKS:
        status, user = await who(to, trick, authorization=bearer)
        assert user is None, trick
        assert status in (400, 401, 403, 404), trick
    context = HttpTransport(to)._tls
    where = urlsplit(world.running.common)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, ssl=context)
    head = "POST /clusters/default/{} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n"
    for cluster, authorization, expected in (
        ("a", bearer, b"201"),
        ("b", bearer, b"401"),
        ("a", bearer, b"201"),
        ("b", "", b"403"),
        ("a", "", b"403"),
    ):
        lines = head.format(cluster + WHOAMI, len(QUESTION))
        if authorization:
            lines += f"authorization: {authorization}\r\n"
        writer.write(lines.encode() + b"\r\n" + QUESTION)
        answered = await reader.readuntil(b"\r\n\r\n")
        assert answered.split()[1] == expected, (cluster, bool(authorization), answered)
        length = next(line for line in answered.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()


def host_authority(world: World) -> bytes:
    return world.running.host.cluster.record.identity.authority.certificate
