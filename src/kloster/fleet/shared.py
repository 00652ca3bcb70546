"""What all clusters of one process share: time, threads, listeners, the dispatcher, caches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kloster.aio.aside import Aside
from kloster.aio.clock import Clock
from kloster.apiserver.audit.policy import Policy
from kloster.apiserver.callouts import Callouts
from kloster.apiserver.cluster import OpenAPIDocuments, WebhookCaller
from kloster.apiserver.forms import FormCache
from kloster.apiserver.http.server import Server
from kloster.apiserver.negotiation import Codec
from kloster.apiserver.observability.metrics import Metrics
from kloster.apiserver.openapi.answers import OpenAPI
from kloster.apiserver.protobuf import ProtobufCodec
from kloster.client.outgoing import Reach
from kloster.fleet import audits
from kloster.fleet.datadir import DataDir
from kloster.fleet.sites import FleetDirectory
from kloster.fleet.templates import Templates
from kloster.runtime.dispatcher import Dispatcher


def _codecs() -> Mapping[str, Codec]:
    return {codec.media_type: codec for codec in (ProtobufCodec(),)}


LOCAL_WEBHOOKS = "KLOSTER_LOCAL_WEBHOOKS"
"""Set to 1 where webhooks may run on this machine; workers inherit it. Otherwise whoever may write a webhook
configuration could have this process talk to services that only listen here."""


def _callouts() -> WebhookCaller:
    return Callouts(Reach.ANYWHERE if os.environ.get(LOCAL_WEBHOOKS) == "1" else Reach.ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Shared:
    """Made once in `process`. `bind` is the address that clusters' ports listen on, `audit` what audit logs tell."""

    clock: Clock
    data_dir: DataDir
    executor: ThreadPoolExecutor
    dispatcher: Dispatcher
    server: Server
    sites: FleetDirectory
    templates: Templates
    bind: str
    metrics: Metrics = field(default_factory=Metrics)
    forms: FormCache = field(default_factory=FormCache)
    aside: Aside = field(default_factory=Aside)
    codecs: Mapping[str, Codec] = field(default_factory=_codecs)
    openapi: OpenAPIDocuments = field(default_factory=OpenAPI)
    webhooks: WebhookCaller = field(default_factory=_callouts)
    audit: Policy | None = field(default_factory=audits.policy)
