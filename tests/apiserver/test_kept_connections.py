"""A request on a connection that has asked the same before gets the answer that a fresh connection gets.

What a head was parsed to is remembered, what a token says, whose it is, what a user may do: each for itself. None of it
may show: neither in an answer's bytes nor after something has changed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.apiserver import hurry, world
from tests.apiserver.http.httpworld import Directory

from kloster.apiserver import pipeline
from kloster.apiserver.authentication.chain import Chain
from kloster.apiserver.authentication.tokens import Bound, Order
from kloster.apiserver.authorization.always import PrivilegedGroups, Union
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.apiserver.http.connections import Connections, Limits
from kloster.apiserver.http.protocol import Connection
from kloster.apiserver.observability.tally import Tally

ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/n"
MAPS = "/api/v1/namespaces/n/configmaps"
ACCOUNT = "system:serviceaccount:n:a"
RULES = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"], "resourceNames": ["default"]},
]


class Peer:
    """A client's end of a connection without sockets."""

    def __init__(self, shared: Connections, site: Any) -> None:
        self.received = b""
        self.closed = False
        self.connection = Connection(shared, site)
        self.connection.connection_made(cast(asyncio.BaseTransport, self))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 4711) if name == "peername" else default

    def write(self, data: bytes) -> None:
        self.received += data

    def writelines(self, data: tuple[bytes, ...]) -> None:
        self.received += b"".join(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def ask(self, data: bytes) -> bytes:
        """The whole answer, without what differs from one to the next."""
        self.received = b""
        self.connection.data_received(data)
        for _ in range(1000):
            await asyncio.sleep(0.05)
            if self.received and self.connection.idle:
                break
        assert self.received, data
        return re.sub(rb"(?m)^(audit-id|Date): .*\r\n", b"", self.received)


class Served:
    """A cluster with a service account ``a`` that may read config maps in ``n``, behind connections."""

    def __init__(self, cluster: world.ServedCluster, token: str, uid: str) -> None:
        self.cluster = cluster
        self.api = world.Api(cluster)
        self.token = token
        self.uid = uid
        self.shared = Connections(Directory(lambda _: world.Response(404)), Limits())
        self.site = SimpleNamespace(name="n/c", handler=pipeline.handler(cluster))

    def peer(self) -> Peer:
        return Peer(self.shared, self.site)

    def request(self, path: str, *lines: str, method: str = "GET", token: str | None = None) -> bytes:
        found = [f"{method} {path} HTTP/1.1", "Host: x", *lines]
        if token != "":
            found.append(f"Authorization: Bearer {self.token if token is None else token}")
        return ("\r\n".join(found) + "\r\n\r\n").encode()


async def serve() -> Served:
    cluster = await world.make()
    await world.namespace(cluster, "n")
    api = world.Api(cluster)
    uid = (await api.ok("POST", "/api/v1/namespaces/n/serviceaccounts", {"metadata": {"name": "a"}}))["metadata"]["uid"]
    for name in ("one", "two"):
        await api.ok("POST", MAPS, {"metadata": {"name": name}, "data": {"key": name}})
    await api.ok("POST", f"{ROLES}/roles", {"metadata": {"name": "a"}, "rules": RULES})
    for account in ("a", "default"):
        binding = {
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "n"}],
        }
        await api.ok("POST", f"{ROLES}/rolebindings", binding)
    tokens = cluster.ports.tokens
    assert tokens is not None
    token = tokens.mint(Order(namespace="n", service_account=Bound("a", uid), seconds=3600)).token
    cluster.authenticator = Chain([tokens])
    cluster.authorizer = Union([PrivilegedGroups(), Rbac(StoredRoles(cluster.store, _decode(cluster)))])
    cluster.ports.tally = Tally()
    return Served(cluster, token, uid)


def _decode(cluster: world.ServedCluster) -> Callable[[Any], Any]:
    return cluster.view.object


def _on(test: Callable[[Served], Awaitable[None]]) -> None:
    async def scenario() -> None:
        await test(await serve())

    hurry.run(scenario())


TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@pytest.mark.parametrize(
    ("path", "lines", "options", "status"),
    [
        pytest.param(f"{MAPS}/one", [], {}, 200, id="get"),
        pytest.param(f"{MAPS}/one", ["Accept: application/json"], {}, 200, id="json"),
        pytest.param(f"{MAPS}/one", ["Accept: application/yaml"], {}, 200, id="yaml"),
        pytest.param(f"{MAPS}/one", ["Accept: application/vnd.kubernetes.protobuf"], {}, 200, id="protobuf"),
        pytest.param(f"{MAPS}/one", [f"Accept: {TABLE}"], {}, 200, id="table"),
        pytest.param(f"{MAPS}/one", [f"Accept: {METADATA}"], {}, 200, id="metadata"),
        pytest.param(f"{MAPS}/one", ["Accept: text/html"], {}, 406, id="unacceptable"),
        pytest.param(f"{MAPS}/one", ["User-Agent: curl/8"], {}, 200, id="for-people"),
        pytest.param(f"{MAPS}/one?pretty=true", [], {}, 200, id="pretty"),
        pytest.param(f"{MAPS}/one?resourceVersion=999999", [], {}, 504, id="of-the-future"),
        pytest.param(f"{MAPS}/one", [], {"method": "HEAD"}, 200, id="head"),
        pytest.param(f"{MAPS}/none", [], {}, 404, id="missing"),
        pytest.param(MAPS, [], {}, 200, id="list"),
        pytest.param(f"{MAPS}?watch=true&timeoutSeconds=1", [], {}, 200, id="watch"),
        pytest.param("/api/v1/namespaces/n/secrets/x", [], {}, 403, id="forbidden"),
        pytest.param("/api/v1/namespaces/other/configmaps/one", [], {}, 403, id="in-another-namespace"),
        pytest.param("/apis/example.com/v1/things/x", [], {}, 403, id="unknown"),
        pytest.param(f"{MAPS}/one", [], {"token": ""}, 403, id="anonymous"),
        pytest.param(f"{MAPS}/one", [], {"token": "a.b.c"}, 401, id="wrong-token"),
        pytest.param(f"{MAPS}/one", ["Impersonate-User: system:serviceaccount:n:default"], {}, 200, id="impersonating"),
        pytest.param(f"{MAPS}/one", ["Impersonate-User: root"], {}, 403, id="impersonating-without-permission"),
        pytest.param(f"{MAPS}/one", ["Impersonate-Group: g"], {}, 500, id="impersonating-nobody"),
    ],
)
def test_the_answer_is_the_same_every_time(path: str, lines: list[str], options: dict[str, str], status: int) -> None:
    async def same(served: Served) -> None:
        request = served.request(path, *lines, **options)
        fresh = await served.peer().ask(request)
        assert fresh.startswith(b"HTTP/1.1 %d " % status)
        kept = served.peer()
        await kept.ask(served.request(f"{MAPS}/two", *lines, **options))
        for _ in range(3):
            assert await kept.ask(request) == fresh
        assert await served.peer().ask(request) == fresh

    _on(same)


async def _no_binding(served: Served) -> None:
    await served.api.ok("DELETE", f"{ROLES}/rolebindings/a")


async def _no_verb(served: Served) -> None:
    await served.api.ok("PATCH", f"{ROLES}/roles/a", {"rules": [{**RULES[0], "verbs": ["list"]}]})


async def _no_account(served: Served) -> None:
    await served.api.ok("DELETE", "/api/v1/namespaces/n/serviceaccounts/a")


async def _another_account(served: Served) -> None:
    await _no_account(served)
    await served.api.ok("POST", "/api/v1/namespaces/n/serviceaccounts", {"metadata": {"name": "a"}})


async def _other_keys(served: Served) -> None:
    tokens = served.cluster.ports.tokens
    assert tokens is not None
    tokens.rotate(world.KeySet(world.TokenKey.create()))


async def _object_changed(served: Served) -> None:
    await served.api.ok("PATCH", f"{MAPS}/one", {"data": {"key": "changed"}})


async def _object_deleted(served: Served) -> None:
    await served.api.ok("DELETE", f"{MAPS}/one")


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        pytest.param(_no_binding, 403, b"Forbidden", id="binding-deleted"),
        pytest.param(_no_verb, 403, b"Forbidden", id="role-changed"),
        pytest.param(_no_account, 401, b"Unauthorized", id="account-deleted"),
        pytest.param(_another_account, 401, b"Unauthorized", id="account-replaced"),
        pytest.param(_other_keys, 401, b"Unauthorized", id="keys-rotated"),
        pytest.param(_object_changed, 200, b"changed", id="object-changed"),
        pytest.param(_object_deleted, 404, b"NotFound", id="object-deleted"),
    ],
)
def test_what_changes_counts_at_once(change: Callable[[Served], Awaitable[None]], status: int, text: bytes) -> None:
    async def counts(served: Served) -> None:
        request = served.request(f"{MAPS}/one")
        kept = served.peer()
        for _ in range(3):
            assert (await kept.ask(request)).startswith(b"HTTP/1.1 200 ")
        await change(served)
        answer = await kept.ask(request)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert text in answer
        assert await served.peer().ask(request) == answer

    _on(counts)


def test_every_request_is_counted() -> None:
    async def counted(served: Served) -> None:
        kept = served.peer()
        for _ in range(5):
            await kept.ask(served.request(f"{MAPS}/one"))
        tally = served.cluster.ports.tally
        assert tally is not None
        assert tally.requests == 5

    _on(counted)
