"""What all clusters of one process share: time, threads, listeners, the dispatcher, caches."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kloster.aio.aside import Aside
from kloster.aio.clock import Clock
from kloster.apiserver.cluster import OpenAPIDocuments
from kloster.apiserver.forms import FormCache
from kloster.apiserver.http.server import Server
from kloster.apiserver.negotiation import Codec
from kloster.apiserver.observability.metrics import Metrics
from kloster.apiserver.openapi.answers import OpenAPI
from kloster.apiserver.protobuf import ProtobufCodec
from kloster.fleet.datadir import DataDir
from kloster.fleet.sites import FleetDirectory
from kloster.fleet.templates import Templates
from kloster.runtime.dispatcher import Dispatcher


def _codecs() -> Mapping[str, Codec]:
    return {codec.media_type: codec for codec in (ProtobufCodec(),)}


@dataclass(frozen=True, slots=True)
class Shared:
    """Made once in `process`. `bind` is the address that clusters' ports listen on."""

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
