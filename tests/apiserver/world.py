"""A cluster in memory for tests: bootstrapped, with a default account, and a client that speaks to its pipeline."""

from __future__ import annotations

import base64
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from tests.apiserver import hurry

from kloster.apiserver import bootstrap, pipeline
from kloster.apiserver.authentication.tokens import KeySet, ServiceAccountTokens
from kloster.apiserver.authorization.always import AlwaysAllow
from kloster.apiserver.cluster import ServedCluster, Settings, SystemRandom
from kloster.apiserver.negotiation import PROTOBUF
from kloster.apiserver.pki import TokenKey, new_key
from kloster.apiserver.ports import Authorizer
from kloster.apiserver.protobuf import ProtobufCodec
from kloster.client.transport import Request, Response, User
from kloster.kinds.catalog import catalog
from kloster.stores.memory import MemoryStore

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
CODECS = {PROTOBUF: ProtobufCodec()}
SETTINGS = Settings(service_cidr="10.0.0.0/24")


def _certificate_request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    made = x509.CertificateSigningRequestBuilder(name).sign(new_key(), hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


CERTIFICATE_REQUEST = _certificate_request()


async def make(
    minor: str = "1.34", authorizer: Authorizer | None = None, store: MemoryStore | None = None, **more: Any
) -> ServedCluster:
    """A cluster as the fleet makes it, without controllers."""
    known, store, now = catalog(minor), store or MemoryStore(), time.time()
    puts = [
        *bootstrap.template(known, now),
        *bootstrap.own(known, SETTINGS, SystemRandom(), now, client_ca="test"),
    ]
    await store.transact(lambda _: puts)
    cluster = ServedCluster("test", known, store, authorizer or AlwaysAllow(), settings=SETTINGS, codecs=CODECS, **more)
    cluster.ports.tokens = ServiceAccountTokens(KeySet(TokenKey.create()), lookup(cluster), cluster.clock)
    return cluster


def lookup(cluster: ServedCluster) -> Callable[[str, str, str], str | None]:
    """UIDs of what tokens are bound to."""

    def uid(plural: str, space: str, name: str) -> str | None:
        found = cluster.view.get(f"/{plural}", space, name)
        return None if found is None else str(found["metadata"]["uid"])

    return uid


async def namespace(cluster: ServedCluster, name: str, agent: str = "test/1.0") -> None:
    """A namespace with what controllers put into it."""
    api = Api(cluster, agent=agent)
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    await api.ok("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    root = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "test"}}
    await api.ok("POST", f"/api/v1/namespaces/{name}/configmaps", root)


async def read(response: Response) -> bytes:
    """The whole body, also of a stream that ends."""
    if response.stream is None:
        return response.body
    return b"".join([chunk async for chunk in response.stream])


class Api:
    """Requests as `user`, who is trusted."""

    def __init__(self, cluster: ServedCluster, user: User | None = ADMIN, agent: str = "test/1.0") -> None:
        self.cluster = cluster
        self.user = user
        self.agent = agent

    async def send(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        path, _, query = target.partition("?")
        found = {"user-agent": self.agent, **(headers or {})}
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        if body is not None:
            found.setdefault(
                "content-type", "application/merge-patch+json" if method == "PATCH" else "application/json"
            )
        request = Request(method, unquote(path), parse_qsl(query, keep_blank_values=True), found, data, user=self.user)
        answer = pipeline.handle(self.cluster, request)
        return await answer if inspect.isawaitable(answer) else answer

    async def json(self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The body of the answer, whatever its status."""
        return orjson.loads(await read(await self.send(method, target, body, headers)))

    async def ok(self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The body of an answer that must not be an error."""
        answer = await self.send(method, target, body, headers)
        data = await read(answer)
        assert answer.status < 400, data.decode()
        return orjson.loads(data)


def on_cluster(body: Callable[[ServedCluster, Api], Awaitable[Any]], store: MemoryStore | None = None) -> Any:
    """Run a test with a cluster that has a namespace ``n``, and a client of it."""

    async def main() -> Any:
        cluster = await make(store=store)
        await namespace(cluster, "n")
        return await body(cluster, Api(cluster))

    return hurry.run(main())
