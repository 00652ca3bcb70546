"""What each Kubernetes minor version serves.

A `Catalog` is a minor's data made usable: which resources there are, under which verbs, columns and selectors, what
their types look like, what a new cluster contains. All clusters of a minor share one (`catalog`); it is read only,
and built as it is used: a kind's schema when somebody looks into it, its strategy module likewise.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import orjson

from kloster import __version__
from kloster.apimachinery import Object
from kloster.apimachinery.schema.build import META, Described, Graph
from kloster.apimachinery.schema.model import StructType
from kloster.kinds import gates, loading
from kloster.kinds.strategy import DEFAULT, Strategy

MINORS = loading.minors()

# Resources of several groups or versions that are one and the same in the store: group/plural → (storage_id, version).
# Everything else is stored under its own name in its group's preferred version.
_STORED: dict[str, tuple[str, str]] = {
    "/events": ("/events", "v1"),
    "events.k8s.io/events": ("/events", "v1"),
    "autoscaling/horizontalpodautoscalers": ("autoscaling/horizontalpodautoscalers", "autoscaling/v2"),
}
# Types that every group version knows, served by none of them.
_META_KINDS = frozenset(
    (
        "APIGroup",
        "APIGroupList",
        "APIResourceList",
        "APIVersions",
        "CreateOptions",
        "DeleteOptions",
        "GetOptions",
        "ListOptions",
        "PartialObjectMetadata",
        "PartialObjectMetadataList",
        "PatchOptions",
        "Status",
        "Table",
        "UpdateOptions",
        "WatchEvent",
    )
)


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource as discovery tells it. `kind` with `group`, `version` when they differ from the parent's."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A served resource of one group and version: everything that is data.

    storage_id    ``group/plural`` under which objects are stored, whatever the version (events: ``/events``)
    storage_version  ``group/version`` in which they are stored; equals api_version unless converted
    type          its schema graph
    columns       table columns: (name, type, format, priority)
    selectable    field selectors that are supported
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    subresources: Mapping[str, Subresource]
    storage_id: str
    storage_version: str
    storage_hash: str
    type: StructType
    strategy: Strategy
    columns: Sequence[tuple[str, str, str, int]]
    selectable: Sequence[str] = field(default_factory=tuple)
    builtin: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class _BuiltinKind(Kind):
    """A kind whose strategy module is imported when its strategy is first asked for."""

    __slots__ = ("minor",)

    minor: str

    @classmethod
    def of(cls, minor: str, **data: Any) -> Kind:
        kind = cls(strategy=DEFAULT, **data)
        object.__setattr__(kind, "minor", minor)
        object.__delattr__(kind, "strategy")
        return kind

    def __getattr__(self, name: str) -> Any:
        # Only an empty slot gets here.
        if name != "strategy":
            raise AttributeError(name)
        found = gates.applied(strategy(self.group, self.plural, self.minor), self.storage_id, self.minor)
        if found.tables:
            found = replace(found, cells=found.row([name for name, *_ in self.columns]))
        object.__setattr__(self, "strategy", found)
        return self.strategy


def folder(group: str) -> str:
    """The package of a group's strategies: its first label, ``core`` for the core group."""
    return group.partition(".")[0] or "core"


@cache
def strategy(group: str, plural: str, minor: str = "") -> Strategy:
    """The behaviour of a built-in resource: its module's STRATEGY, `DEFAULT` where there is no module.

    A module whose kind behaves differently from some minor on has CHANGED as well: that minor → its Strategy, the
    oldest first.
    """
    package = f"{__package__}.{folder(group)}"
    name = f"{package}.{plural}"
    if importlib.util.find_spec(package) is None or importlib.util.find_spec(name) is None:
        return DEFAULT
    module = importlib.import_module(name)
    found: Strategy = module.STRATEGY
    changed: Mapping[str, Strategy] = getattr(module, "CHANGED", {})
    for since, other in changed.items():
        if minor and _order(minor) >= _order(since):
            found = other
    return found


def _order(minor: str) -> tuple[int, ...]:
    return tuple(map(int, minor.split(".")))


class Catalog:
    """Everything about one minor version. Shared by all its clusters, built lazily, read only.

    minor         "1.34"
    number        34
    git_version   "v1.34.4"
    """

    def __init__(self, minor: str) -> None:
        self._data = loading.Reference(minor)
        self._graph = Graph(self._data.type)
        self.minor = minor
        self.number = int(minor.partition(".")[2])
        self.git_version: str = self._data.facts["version"]["gitVersion"]

    @cached_property
    def kinds(self) -> Mapping[tuple[str, str, str], Kind]:
        """(group, version, plural) → Kind, in discovery order."""
        kinds: dict[tuple[str, str, str], Kind] = {}
        for groups in self._data.discovery().values():
            for group in groups:
                for kind in self._group_kinds(group):
                    kinds[kind.group, kind.version, kind.plural] = kind
        return kinds

    @cached_property
    def _by_kind(self) -> Mapping[tuple[str, str, str], Kind]:
        return {(kind.group, kind.version, kind.kind): kind for kind in self.kinds.values()}

    def lookup(self, group: str, version: str, plural: str) -> Kind | None:
        return self.kinds.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> Kind | None:
        return self._by_kind.get((group, version, kind))

    def type(self, group: str, version: str, kind: str) -> StructType | None:
        """The schema graph of any API type, served or not (DeleteOptions, Scale, TokenRequest, ...)."""
        name = self._data.facts["kinds"].get(_gvk(group, version, kind))
        if name is None and kind in _META_KINDS:
            name = f"{META}.{kind}"
        if name is None and not group:
            name = f"api/core/{version}.{kind}"  # PodExecOptions and its like
        return self._graph.struct(name) if name else None

    def described(self, name: str) -> Described | None:
        """The data of a Go type that is a struct, as the graph is built from it; for OpenAPI."""
        return self._data.type(name)

    def struct(self, name: str) -> StructType | None:
        """The schema graph of a Go type, by the name that `StructType.name` gives."""
        return self._graph.struct(name)

    @property
    def digest(self) -> str:
        """Changes with the packaged data of this minor."""
        return self._data.digest

    @property
    def api_types(self) -> Mapping[str, str]:
        """``group/version/Kind`` → Go type, of everything that upstream registers in the versions it serves."""
        names: dict[str, str] = self._data.facts["kinds"]
        return names

    @property
    def type_names(self) -> Sequence[str]:
        """The Go types of all structs, sorted."""
        return self._data.type_names

    @cached_property
    def discovery(self) -> Mapping[str, Sequence[Object]]:
        """Aggregated discovery items by root, ``/api`` and ``/apis``, with response kinds and verbs."""
        return self._data.discovery()

    @property
    def bootstrap(self) -> Sequence[Object]:
        """What a fresh cluster contains (without UIDs and times). A new copy each time."""
        return self._data.bootstrap()

    @property
    def openapi_paths(self) -> Sequence[str]:
        """The paths for which upstream publishes an OpenAPI v3 document."""
        paths: list[str] = self._data.facts["openapi"]
        return paths

    @property
    def openapi_elements(self) -> bool:
        """Whether upstream's OpenAPI gives defaults to elements of lists and maps."""
        return bool(self._data.facts["openapi_elements"])

    @property
    def readyz(self) -> Sequence[str]:
        """The checks that upstream's /readyz?verbose lists."""
        checks: list[str] = self._data.facts["readyz"]
        return checks

    @cached_property
    def version(self) -> Mapping[str, Any]:
        """/version as upstream answers it, with gitVersion ``v1.34.4+kloster.1``."""
        recorded: dict[str, Any] = dict(self._data.facts["version"])
        platform = recorded.pop("platform")
        return recorded | {
            "gitVersion": f"{self.git_version}+kloster.1",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": f"none (Kloster {__version__})",
            "compiler": "none",
            "platform": platform,
        }

    def descriptions(self) -> Mapping[str, tuple[str, Mapping[str, str]]]:
        """Go type → (text, field → text): upstream's documentation. Parsed anew each time; for OpenAPI."""
        texts = {}
        for name, raw in loading.descriptions(self.minor).items():
            text, fields = orjson.loads(raw)
            texts[name] = (text, fields)
        return texts

    def _group_kinds(self, group: Object) -> Iterator[Kind]:
        name: str = group.get("metadata", {}).get("name", "")
        preferred = group["versions"][0]["version"]
        for version in group["versions"]:
            for resource in version["resources"]:
                # A resource that the preferred version lacks is stored in the first version that has it.
                stored = next(
                    (
                        other["version"]
                        for other in group["versions"]
                        if any(item["resource"] == resource["resource"] for item in other["resources"])
                    ),
                    preferred,
                )
                yield self._kind(name, version["version"], resource, stored)

    def _kind(self, group: str, version: str, resource: Object, stored: str) -> Kind:
        facts = self._data.facts
        plural: str = resource["resource"]
        kind: str = resource["responseKind"]["kind"]
        api_version = f"{group}/{version}" if group else version
        path = f"{api_version}/{plural}"
        own = (f"{group}/{plural}", f"{group}/{stored}" if group else stored)
        storage_id, storage_version = _STORED.get(own[0], own)
        type = self.type(group, version, kind)
        if type is None:
            raise LookupError(f"the data of Kubernetes {self.minor} lacks the type of {api_version} {kind}")
        return _BuiltinKind.of(
            self.minor,
            group=group,
            version=version,
            plural=plural,
            singular=resource.get("singularResource", ""),
            kind=kind,
            namespaced=resource["scope"] == "Namespaced",
            verbs=frozenset(resource["verbs"]),
            short_names=tuple(resource.get("shortNames", ())),
            categories=tuple(resource.get("categories", ())),
            subresources={item["subresource"]: _subresource(item) for item in resource.get("subresources", ())},
            storage_id=storage_id,
            storage_version=storage_version,
            storage_hash=facts["hashes"].get(path, ""),
            type=type,
            columns=[tuple(column) for column in facts["columns"].get(path, _COLUMNS)],
            selectable=facts["selectors"].get(path) or _SELECTABLE,
        )


_COLUMNS = (("Name", "string", "name", 0), ("Age", "string", "", 0))
# Most cluster-scoped resources accept metadata.namespace, too.
_SELECTABLE = ("metadata.name", "metadata.namespace")


def _gvk(group: str, version: str, kind: str) -> str:
    return f"{group}/{version}/{kind}" if group else f"{version}/{kind}"


def _subresource(item: Object) -> Subresource:
    response = item.get("responseKind", {})
    return Subresource(
        name=item["subresource"],
        kind=response.get("kind", ""),
        verbs=tuple(item["verbs"]),
        group=response.get("group", ""),
        version=response.get("version", ""),
    )


@cache
def catalog(minor: str) -> Catalog:
    """The catalog of a minor version, one of `MINORS`."""
    if minor not in MINORS:
        raise ValueError(_unsupported(minor))
    return Catalog(minor)


def parse_version(text: str) -> str:
    """``1.34``, ``v1.34``, ``v1.34.4``, ``v1.34.4+kloster.1`` → ``1.34``. Raises ValueError naming what there is."""
    number = text.strip().removeprefix("v").partition("+")[0]
    minor = ".".join(number.split(".")[:2])
    if minor not in MINORS:
        raise ValueError(_unsupported(text))
    if number not in (minor, catalog(minor).git_version.removeprefix("v")):
        raise ValueError(_unsupported(text))
    return minor


def _unsupported(text: str) -> str:
    listed = ", ".join(f"{minor} ({catalog(minor).git_version})" for minor in MINORS)
    return f"Kubernetes version {text!r} is not supported; supported are {listed}"
