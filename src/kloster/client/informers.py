"""Following a remote cluster: copies of its objects, kept current by list and watch.

One *informer* follows one resource in one scope (a namespace or all, perhaps a label selector). It lists, then
watches from the list's resourceVersion; when the watch ends it goes on from where it was; when the server no longer
knows that version (410) it lists again and tells its subscribers the difference. While the server cannot be reached
the copies stay as they are: old, but whole.

The source of several informers is one store by resource, with an index from owner to owned.
Model: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

import orjson
import structlog

from kloster.aio.backoff import Backoff
from kloster.aio.clock import Clock
from kloster.aio.supervision import Supervisor
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change, Resource
from kloster.client.client import Client
from kloster.client.errors import ClientError
from kloster.client.packed import Packed
from kloster.client.sources import Name, OwnerIndex, name_of

log = structlog.get_logger(__name__)

_RETRY = Backoff(first=0.2, limit=30.0)
_HEALTHY = 5.0  # a watch that lived this many seconds was no failure
_WATCH_SECONDS = (240, 300)  # drawn at random, so that not all watches end together

Handler = Callable[[Change], None]


class ObjectCache:
    """The objects of one resource, and who owns them."""

    def __init__(self, resource: Resource, packed: bool = False) -> None:
        self.resource = resource
        self.items: MutableMapping[Name, Object] = Packed() if packed else {}
        self.handlers: list[Handler] = []
        self._owners = OwnerIndex()

    def put(self, item: Object) -> None:
        name = name_of(item)
        old = self.items.get(name)
        if old is not None:
            if old["metadata"].get("resourceVersion") == item["metadata"].get("resourceVersion"):
                return
            self._owners.remove(old)
        self.items[name] = item
        self._owners.add(item)
        self._tell(Change(self.resource, old, item))

    def drop(self, name: Name, last: Object | None = None) -> None:
        """Forget an object; `last` is its final state where the server told it."""
        old = self.forget(name)
        if old is not None:
            self._tell(Change(self.resource, last or old, None))

    def forget(self, name: Name) -> Object | None:
        """Drop an object without telling anybody."""
        old = self.items.pop(name, None)
        if old is not None:
            self._owners.remove(old)
        return old

    def owned_by(self, namespace: str, uid: str) -> list[Object]:
        return [self.items[name] for name in self._owners.names(namespace, uid)]

    def _tell(self, change: Change) -> None:
        for handler in tuple(self.handlers):
            try:
                handler(change)
            except Exception:
                log.exception("a subscriber failed", resource=self.resource.id, name=name_of(change.object))


class Informer:
    """Keeps one scope of a cache current. `run` does not end by itself."""

    def __init__(
        self,
        client: Client,
        cache: ObjectCache,
        clock: Clock,
        rng: random.Random,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        wanted: Callable[[Object], bool] | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._wanted = wanted
        self._clock = clock
        self._rng = rng
        self._namespace = namespace
        self._labels = label_selector
        self._fields = field_selector
        self._version = ""  # where the watch continues; empty: list first
        self._names: set[Name] = set()  # what this informer has put into the cache
        self.synced = asyncio.Event()

    async def run(self) -> None:
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                quick = self._clock.monotonic() - started < _HEALTHY
                failures = failures + 1 if quick else 0
            except StatusError as error:
                failures += 1
                if error.code == 410 or error.reason in ("Expired", "Gone"):
                    self._version = ""
                else:
                    self._failed(error)
            except (ClientError, orjson.JSONDecodeError) as error:
                failures += 1
                self._failed(error)
            if failures:
                await self._clock.sleep(_RETRY.delay(failures, self._rng))

    async def _list(self) -> None:
        listed = await self._client.list_all(
            self._cache.resource, self._namespace, label_selector=self._labels, field_selector=self._fields
        )
        wanted = self._wanted
        present = {name_of(item): item for item in listed.items if wanted is None or wanted(item)}
        for name in self._names - present.keys():
            self._cache.drop(name)
        self._names = set(present)
        for item in present.values():
            self._cache.put(item)
        self._version = listed.resource_version
        self.synced.set()

    async def _watch(self) -> None:
        events = self._client.watch(
            self._cache.resource,
            self._namespace,
            resource_version=self._version,
            label_selector=self._labels,
            field_selector=self._fields,
            timeout_seconds=self._rng.randint(*_WATCH_SECONDS),
        )
        async with aclosing(events) as stream:
            async for event in stream:
                item = event.object
                if event.type in ("ADDED", "MODIFIED") and (self._wanted is None or self._wanted(item)):
                    self._names.add(name_of(item))
                    self._cache.put(item)
                elif event.type == "DELETED":
                    self._names.discard(name_of(item))
                    self._cache.drop(name_of(item), item)
                self._version = item["metadata"]["resourceVersion"]

    def _failed(self, error: Exception) -> None:
        log.warning(
            "following a resource failed; trying again",
            resource=self._cache.resource.id,
            scope=self._namespace or "all namespaces",
            error=str(error),
        )


class InformerSource:
    """A `Source` of a remote cluster. Use as an async context manager; `follow` what is to be read.

    Reading a resource that is not followed raises LookupError: an empty answer would look like a deletion.
    wanted     keeps copies of these objects alone. What it says of an object may change from no to yes only before the
               object is there
    packed     keeps copies encoded: less memory, more time for who reads much
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        rng: random.Random | None = None,
        wanted: Callable[[Object], bool] | None = None,
        packed: bool = False,
    ) -> None:
        self._client = client
        self._clock = clock
        self._packed = packed
        self._rng = rng or random.Random()
        self._wanted = wanted
        self._supervisor = Supervisor()
        self._caches: dict[Resource, ObjectCache] = {}
        self._informers: dict[tuple[Resource, str, str, str], tuple[Informer, asyncio.Task[None]]] = {}

    async def __aenter__(self) -> Self:
        await self._supervisor.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._supervisor.__aexit__(kind, error, trace)
        self._informers.clear()

    def rest(self) -> None:
        """Keep nothing decoded, as far as copies are kept encoded at all: nobody reads for a while."""
        for cache in self._caches.values():
            if isinstance(cache.items, Packed):
                cache.items.rest()

    def follow(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Informer:
        """Start to follow a scope; idempotent. Scopes of one resource must not overlap."""
        key = (resource, namespace, label_selector, field_selector)
        if key in self._informers:
            return self._informers[key][0]
        cache = self._caches.setdefault(resource, ObjectCache(resource, self._packed))
        informer = Informer(
            self._client, cache, self._clock, self._rng, namespace, label_selector, field_selector, self._wanted
        )
        task = self._supervisor.spawn(informer.run(), name=f"informer {resource.id} {namespace}".rstrip())
        self._informers[key] = (informer, task)
        return informer

    async def wait_synced(self, timeout: float = 60.0) -> None:
        """Wait until everything followed has been listed once. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            for informer, _ in tuple(self._informers.values()):
                await informer.synced.wait()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._cache(resource).items.get((namespace if resource.namespaced else "", name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        items = self._cache(resource).items
        if not namespace:
            return tuple(items.values())
        return [items[name] for name in items if name[0] == namespace]

    def owned_by(self, resource: Resource, namespace: str, uid: str) -> Sequence[Object]:
        return self._cache(resource).owned_by(namespace, uid)

    def subscribe(self, resource: Resource, handler: Handler) -> Callable[[], None]:
        if not resource.plural:
            raise ValueError("a remote cluster's resources are followed one by one")
        cache = self._caches.get(resource)
        if cache is None:
            self.follow(resource)
            cache = self._cache(resource)
        handlers = cache.handlers
        handlers.append(handler)
        for item in tuple(cache.items.values()):
            handler(Change(resource, None, item))

        def cancel() -> None:
            if handler in handlers:
                handlers.remove(handler)

        return cancel

    def _cache(self, resource: Resource) -> ObjectCache:
        try:
            return self._caches[resource]
        except KeyError:
            raise LookupError(f"{resource.id} is not followed") from None
