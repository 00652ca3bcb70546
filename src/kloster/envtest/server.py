"""One API server of an envtest: the project's own pipeline on the control plane's store, behind one listener.

There is no fleet here, hence nothing that a fleet needs: no directory, no syncer, no parking, no nodes.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from kloster.aio.clock import Clock
from kloster.apimachinery import Object
from kloster.apiserver import bootstrap, pipeline
from kloster.apiserver.audit.log import AuditLog
from kloster.apiserver.auditing import Auditor
from kloster.apiserver.authorization.always import PrivilegedGroups
from kloster.apiserver.authorization.escalation import Escalation
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.apiserver.callouts import Callouts
from kloster.apiserver.cluster import Ports, ServedCluster, Settings, SystemRandom
from kloster.apiserver.customresources.kinds import builder
from kloster.apiserver.http.server import Server
from kloster.apiserver.http.sites import LazySite, Site
from kloster.apiserver.http.tls import Material
from kloster.apiserver.observability.tally import Tally
from kloster.apiserver.openapi.answers import OpenAPI
from kloster.apiserver.protobuf import ProtobufCodec
from kloster.client.inprocess import Handler
from kloster.client.outgoing import Reach
from kloster.envtest import access
from kloster.envtest.options import Options, OptionsError
from kloster.kinds.catalog import catalog
from kloster.stores.api import Entry, Key, Operation, Store, View

METRICS = "kloster.apiserver.observability.metrics"
"""Loaded when somebody scrapes: a test hardly ever does, and its formats take a tenth of the time of a start."""

DRAIN = 1.0
"""Seconds that requests have when the server ends."""

NAME = "envtest"


def _exposition(tally: Tally) -> bytes:
    text: bytes = importlib.import_module(METRICS).exposition(tally)
    return text


class OneSite:
    """A directory with one cluster in it."""

    def __init__(self, site: Site) -> None:
        self.common = site

    def by_port(self, port: int) -> Site | None:
        return self.common

    def by_host(self, name: str) -> Site | None:
        return self.common

    def by_path(self, namespace: str, name: str) -> Site | None:
        return None


class ApiServer:
    """Serves `store` as `options` say, from `start` to `close`."""

    def __init__(self, minor: str, options: Options, store: Store, clock: Clock) -> None:
        self.minor = minor
        self.options = options
        self.clock = clock
        self.served = ServedCluster(
            NAME,
            catalog(minor),
            store,
            PrivilegedGroups(),
            settings=Settings(
                service_cidr=options.service_cidr,
                node_ports=options.node_ports,
                issuer=options.issuers[0],
                audiences=options.audiences,
                external_address=options.external_address,
                plugins_off=options.plugins_off,
            ),
            codecs={codec.media_type: codec for codec in (ProtobufCodec(),)},
            clock=clock,
        )
        self.served.serve_custom_resources(builder(self.served.catalog))
        self._roles = StoredRoles(store, self._decoded)
        self._log: AuditLog | None = None
        self._plug_in()
        self.handler: Handler = pipeline.handler(self.served)
        self.site = LazySite(NAME, self.handler, lambda: Material(*options.serving, options.client_ca))
        self.server = Server(OneSite(self.site), drain=DRAIN)
        self.ending: list[Callable[[], Awaitable[None]]] = []  # what else runs for this server, the last to end first

    def _plug_in(self) -> None:
        served, options = self.served, self.options
        issued = access.tokens(options, served.view, self.clock)
        rbac, tally = Rbac(self._roles), Tally()
        served.authenticator = access.authenticator(options, issued, self.clock)
        served.authorizer = access.authorizer(options.modes, rbac)
        served.ports = Ports(
            tokens=issued,
            escalation=Escalation(rbac, served.authorizer) if "RBAC" in options.modes else None,
            openapi=OpenAPI(),
            metrics=partial(_exposition, tally),
            tally=tally,
            webhooks=Callouts(Reach.ANYWHERE),
        )
        if options.audit is not None:
            wanted = options.audit
            try:
                self._log = AuditLog(wanted.path, wanted.size, wanted.backups)
            except OSError as error:
                raise OptionsError(f"ensureLogFile: open {error.filename}: {(error.strerror or '').lower()}") from error
            served.ports.auditor = Auditor(wanted.policy, self._log.write)

    def _decoded(self, entry: Entry) -> Object:
        found = self.served.view.object(entry)
        assert found is not None, "RBAC kinds are served by every version"
        return found

    async def start(self) -> None:
        """Write what a cluster has of its own, if it is new, then listen. Raises AddressInUse."""
        await self.server.__aenter__()
        await self._populate()
        self.server.listen_site(self.options.bind, self.options.port)

    async def _populate(self) -> None:
        own = bootstrap.own(
            self.served.catalog,
            self.served.settings,
            SystemRandom(),
            self.clock.now(),
            client_ca=self.options.client_ca,
            requestheader_ca=None,
            api_port=self.options.port,
        )
        reached = bootstrap.endpoints(
            self.served.catalog, SystemRandom(), self.clock.now(), self.options.advertise, self.options.port
        )

        def once(view: View) -> Sequence[Operation]:
            """The addresses are those of the API server that came last."""
            fresh = view.get(Key("/namespaces", "", "kube-system")) is None
            return [*own, *reached] if fresh else reached

        await self.served.store.transact(once)

    async def close(self) -> None:
        """Stop listening, end what is open. The store stays."""
        for end in reversed(self.ending):
            await end()
        await self.server.close()
        if self._log is not None:
            self._log.close()
        self._roles.close()
        self.served.close()
