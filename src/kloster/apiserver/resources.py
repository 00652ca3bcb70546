"""What a cluster serves: its version's built-in resources and its own custom ones.

`BuiltIn` depends only on the Kubernetes version and is shared by all its clusters. `Resources` belongs to one
cluster and holds nothing but the difference: the custom resources, each under the name of the definition that
brought it, so that a changed definition replaces its own part and nothing else.

`generation` moves whenever the set changes; caches of what was derived (discovery, OpenAPI) compare it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import orjson

from kloster.apimachinery import Object
from kloster.apiserver import deprecations
from kloster.client.api import Resource
from kloster.kinds.catalog import Catalog, Kind

GroupVersionPlural = tuple[str, str, str]


class ScalePaths(NamedTuple):
    """Where an object keeps what its Scale shows: paths of field names."""

    replicas: tuple[str, ...] = ("spec", "replicas")
    status: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")


LOOPS = "loops of admission"
"""Where a cluster's memo says how the time that its policies take grows with an object, as `Served.loops`."""


class Served:
    """One served resource, with the bytes that every answer about it begins with.

    kind      the data of the version that is served here
    storage   the data of the version in which its objects are stored (the same object unless converted)
    stamp     `Entry.version` of bytes that are up to date: same storage version, same schema
    direct    stored bytes can be sent as they are
    prefix    ``{"kind":"Pod","apiVersion":"v1",``: goes in front of stored bytes
    storage_prefix  the same for the storage version
    item_prefix     the same for items of a list: items of built-in lists carry no kind and apiVersion
    scale     where /scale finds its numbers
    terminating  its definition is being deleted: nothing new may come
    asks      its objects are converted by a webhook: what is to be shown may have to be asked for (`pending`)
    seal      removes what the storage version does not know (custom resources), None: nothing can be there
    deprecation  a warning that goes with every answer
    resource  the same as controllers address it
    wide      checking its objects may take long however small they are: its schema has many alternatives
    loops     how the time that its rules take grows with an object: 0, 1 as its items, 2 as pairs of them
    """

    __slots__ = (
        "asks",
        "deprecation",
        "direct",
        "group",
        "id",
        "item_prefix",
        "kind",
        "list_kind",
        "loops",
        "namespaced",
        "plural",
        "prefix",
        "resource",
        "scale",
        "seal",
        "stamp",
        "storage",
        "storage_prefix",
        "strategy",
        "terminating",
        "version",
        "wide",
    )

    def __init__(self, kind: Kind, storage: Kind, stamp: str, scale: ScalePaths | None = None) -> None:
        self.kind = kind
        self.storage = storage
        self.wide = False
        self.loops = 0
        self.stamp = stamp
        self.scale = scale or ScalePaths()
        self.deprecation = ""
        self.terminating = False
        self.asks = False
        self.seal: Callable[[Object], Object] | None = None
        self.direct = kind is storage
        self.group = kind.group
        self.version = kind.version
        self.plural = kind.plural
        self.id = kind.storage_id
        self.namespaced = kind.namespaced
        # Events of both groups are stored as one kind, but have rules of their own.
        self.strategy = storage.strategy if kind.group == storage.group else kind.strategy
        self.list_kind = f"{kind.kind}List"
        self.resource = Resource(kind.group, kind.version, kind.plural, kind.kind, kind.namespaced)
        self.prefix = _prefix(kind)
        self.storage_prefix = _prefix(storage)
        self.item_prefix = b"{" if kind.builtin else self.prefix

    def __repr__(self) -> str:
        return f"Served({self.kind.api_version}, {self.plural})"


def _prefix(kind: Kind) -> bytes:
    name, api_version = orjson.dumps(kind.kind), orjson.dumps(kind.api_version)
    if kind.builtin:
        return b'{"kind":' + name + b',"apiVersion":' + api_version + b","
    return b'{"apiVersion":' + api_version + b',"kind":' + name + b","  # maps are written with sorted keys


class BuiltIn:
    """A version's built-in resources. `Served` objects are made when first asked for."""

    __slots__ = ("_ids", "_made", "catalog", "groups")

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._made: dict[GroupVersionPlural, Served] = {}
        self.groups = frozenset(group for group, _, _ in catalog.kinds)
        self._ids = {
            kind.storage_id: key for key, kind in catalog.kinds.items() if kind.storage_version == kind.api_version
        }

    def lookup(self, group: str, version: str, plural: str) -> Served | None:
        key = (group, version, plural)
        found = self._made.get(key)
        if found is None:
            kind = self.catalog.lookup(group, version, plural)
            if kind is None:
                return None
            storage = self._storage(kind)
            found = self._made[key] = Served(kind, storage, f"{storage.version}@{self.catalog.minor}")
            found.deprecation = deprecations.warning(kind, self.catalog.minor)
        return found

    def stored_as(self, resource_id: str) -> Served | None:
        """The resource whose version is the one that `resource_id` is stored in."""
        key = self._ids.get(resource_id)
        return None if key is None else self.lookup(*key)

    def _storage(self, kind: Kind) -> Kind:
        if kind.storage_version == kind.api_version:
            return kind
        group, _, version = kind.storage_version.rpartition("/")
        return self.catalog.lookup(group, version, kind.storage_id.rpartition("/")[2]) or kind

    def __iter__(self) -> Iterator[Served]:
        for group, version, plural in self.catalog.kinds:
            served = self.lookup(group, version, plural)
            if served is not None:
                yield served


@lru_cache(maxsize=16)
def built_in(catalog: Catalog) -> BuiltIn:
    """The one `BuiltIn` of a catalog."""
    return BuiltIn(catalog)


class Resources:
    """Everything that one cluster serves."""

    __slots__ = ("_changed", "_custom", "_owners", "built_in", "generation")

    def __init__(self, shared: BuiltIn) -> None:
        self.built_in = shared
        self.generation = 0
        self._custom: dict[GroupVersionPlural, Served] = {}
        self._owners: dict[str, tuple[Served, ...]] = {}
        self._changed: tuple[Callable[[str], None], ...] = ()

    def lookup(self, group: str, version: str, plural: str) -> Served | None:
        return self.built_in.lookup(group, version, plural) or self._custom.get((group, version, plural))

    def stored_as(self, resource_id: str) -> Served | None:
        """The served form of a storage id that needs no conversion."""
        found = self.built_in.stored_as(resource_id)
        if found is not None:
            return found
        for served in self._custom.values():
            if served.id == resource_id and served.direct:
                return served
        return None

    def by_kind(self, group: str, version: str, kind: str) -> Served | None:
        found = self.built_in.catalog.by_kind(group, version, kind)
        if found is not None:
            return self.built_in.lookup(group, version, found.plural)
        for served in self._custom.values():
            if (served.group, served.version, served.kind.kind) == (group, version, kind):
                return served
        return None

    def __iter__(self) -> Iterator[Served]:
        yield from self.built_in
        yield from self._custom.values()

    @property
    def custom(self) -> MappingProxyType[str, tuple[Served, ...]]:
        """Custom resources by the definition that brought them, in order of definition."""
        return MappingProxyType(self._owners)

    def replace(self, owner: str, served: Sequence[Served]) -> None:
        """Serve exactly `served` on behalf of `owner` (a CustomResourceDefinition's name). Empty: nothing more."""
        for old in self._owners.pop(owner, ()):
            self._custom.pop((old.group, old.version, old.plural), None)
        if served:
            self._owners[owner] = tuple(served)
            self._custom.update({(new.group, new.version, new.plural): new for new in served})
        self.generation += 1
        for notify in self._changed:
            notify(owner)

    def on_change(self, notify: Callable[[str], None]) -> None:
        """Call `notify` with the owner's name after each replacement."""
        self._changed = (*self._changed, notify)
