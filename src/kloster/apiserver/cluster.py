"""`ServedCluster`: everything that answering one cluster's requests needs.

What it is, not what is done with it: data and ports. Whoever serves it makes a handler of it (`pipeline.handler`), and
every stage of the pipeline finds here what it needs. Everything that depends only on the Kubernetes version (catalog,
built-in resources, documents) or on the process (codecs, cache of forms) is shared; a cluster of its own has its
store, its custom resources, its identities and its settings. There is no task, thread or timer for a cluster: reading
is synchronous, and a watch belongs to its connection.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kloster.aio.aside import Aside
from kloster.aio.clock import Clock, SystemClock
from kloster.apimachinery import Object
from kloster.apiserver.authentication.bootstrap_tokens import BootstrapTokens
from kloster.apiserver.authentication.chain import ANONYMOUS
from kloster.apiserver.authentication.tokens import ServiceAccountTokens
from kloster.apiserver.authorization.escalation import Escalation
from kloster.apiserver.customresources.link import Builder, CustomResources
from kloster.apiserver.forms import FormCache
from kloster.apiserver.negotiation import JSON, YAML, Codec
from kloster.apiserver.observability.tally import Tally
from kloster.apiserver.pending import WebhookFailed
from kloster.apiserver.ports import Authorizer
from kloster.apiserver.rehearsal import Rehearsal
from kloster.apiserver.resources import Resources, built_in
from kloster.apiserver.view import LiveView
from kloster.client.dialing import Dialer
from kloster.client.transport import Request, Response, User
from kloster.kinds.catalog import Catalog
from kloster.kinds.core.events import TTL
from kloster.stores.api import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What differs from cluster to cluster, beyond its objects.

    service_cidr      where cluster IPs come from; the first address is the kubernetes Service's
    node_ports        first and last port of NodePort services
    cluster_domain    the DNS zone of services
    issuer            the issuer of service account tokens
    audiences         whom the API server is, for tokens (empty: the issuer)
    external_address  host:port that clients are told (legacy discovery)
    plugins_off       admission plugins that do not run (--disable-admission-plugins)
    event_ttl         seconds for which an event is kept after its last write
    """

    service_cidr: str = "10.96.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    cluster_domain: str = "cluster.local"
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    audiences: tuple[str, ...] = ()
    external_address: str = "kubernetes.default.svc:443"
    plugins_off: frozenset[str] = frozenset()
    event_ttl: float = TTL


class Random(Protocol):
    """Where UIDs and name suffixes come from; tests give a seeded one."""

    def uid(self) -> str: ...

    def choice(self, count: int) -> int:
        """A number below `count`."""
        ...


class SystemRandom:
    """The operating system's randomness."""

    def uid(self) -> str:
        return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))

    def choice(self, count: int) -> int:
        return secrets.randbelow(count)


class NodeConnector(Protocol):
    """Reaches what runs on nodes: logs, exec, attach, port-forward, proxy.

    `pod` and `node` are the objects; `subresource` is log, exec, attach or portforward; `path` is what stands behind
    ``proxy``: empty, or beginning with a slash. `port` is a number or empty.
    """

    def connect(self, request: Request, subresource: str, pod: Object) -> Awaitable[Response]: ...

    def proxy_pod(self, request: Request, path: str, pod: Object, scheme: str, port: str) -> Awaitable[Response]: ...

    def proxy_node(self, request: Request, path: str, node: Object) -> Awaitable[Response]: ...


class OpenAPIDocuments(Protocol):
    """/openapi/v2 and /openapi/v3 of a cluster."""

    def answer(self, cluster: ServedCluster, request: Request) -> Response | Awaitable[Response]:
        """The answer to a GET of ``/openapi/…``."""
        ...


class WebhookCaller(Protocol):
    """Asks webhooks: those of admission and of conversion."""

    def __call__(self, cluster: ServedCluster, client: Object, body: bytes, timeout: float) -> Awaitable[bytes]:
        """The body of the answer to `body`, sent to where `client` (a clientConfig) says. Raises WebhookFailed."""
        ...


class Auditor(Protocol):
    """Tells somebody who asked what (`auditing.Auditor`)."""

    def audited(
        self, answer: Callable[[Any], Response | Awaitable[Response]], call: Any
    ) -> Response | Awaitable[Response]:
        """The answer to `call`, told."""
        ...


Identify = Callable[[Request], User]
"""Who asks (`authentication.chain.Chain`). Raises StatusError 401."""


def anonymous(_: Request) -> User:
    """Knows nobody."""
    return ANONYMOUS


@dataclass(slots=True)
class Ports:
    """What a cluster plugs in; None where a deployment has none.

    nodes     answers for what runs on nodes, when a client asks
    dialer    connects to its pods, when the API server itself does
    """

    tokens: ServiceAccountTokens | None = None
    bootstrap_tokens: BootstrapTokens | None = None
    escalation: Escalation | None = None
    nodes: NodeConnector | None = None
    dialer: Dialer | None = None
    openapi: OpenAPIDocuments | None = None
    metrics: Callable[[], bytes] | None = None
    webhooks: WebhookCaller | None = None
    tally: Tally | None = None
    rehearsal: Rehearsal | None = None
    auditor: Auditor | None = None


@dataclass(slots=True, eq=False, weakref_slot=True)
class ServedCluster:
    """One cluster, ready to be served.

    offered   media types in which its answers are made, best first
    """

    id: str
    catalog: Catalog
    store: Store
    authorizer: Authorizer
    authenticator: Identify = anonymous
    settings: Settings = field(default_factory=Settings)
    ports: Ports = field(default_factory=Ports)
    codecs: Mapping[str, Codec] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    random: Random = field(default_factory=SystemRandom)
    forms: FormCache = field(default_factory=FormCache)
    aside: Aside = field(default_factory=Aside)
    resources: Resources = field(init=False)
    view: LiveView = field(init=False)
    offered: tuple[str, ...] = field(init=False)
    memo: dict[str, Any] = field(init=False, default_factory=dict)
    _custom: CustomResources | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.offered = (JSON, YAML, *self.codecs)
        self.resources = Resources(built_in(self.catalog))
        self.view = LiveView(self.id, self.store, self.resources, self.forms)

    async def outside(self, client: Object, body: bytes, timeout: float) -> bytes:
        """Asks a webhook (`pending.Outside`). Raises WebhookFailed."""
        if self.ports.webhooks is None:
            raise WebhookFailed("this server calls no webhooks")
        return await self.ports.webhooks(self, client, body, timeout)

    def serve_custom_resources(self, build: Builder) -> None:
        """From now on serve what CustomResourceDefinitions say, as `build` reads them."""
        self.close()
        self._custom = CustomResources(self.id, self.store, self.resources, build)

    def close(self) -> None:
        """Let go of the store. The store itself is its owner's to close."""
        if self._custom is not None:
            self._custom.close()
            self._custom = None
