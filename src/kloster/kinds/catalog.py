"""What each Kubernetes minor version serves. (Interface; see the functions at the end.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kloster.apimachinery import Object
from kloster.apimachinery.schema.model import StructType
from kloster.kinds.strategy import Strategy


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


class Catalog(Protocol):
    """Everything about one minor version. Shared by all its clusters, built lazily, read only."""

    minor: str  # "1.34"
    git_version: str  # "v1.34.4"

    @property
    def kinds(self) -> Mapping[tuple[str, str, str], Kind]:
        """(group, version, plural) → Kind, in discovery order."""
        ...

    def lookup(self, group: str, version: str, plural: str) -> Kind | None: ...

    def by_kind(self, group: str, version: str, kind: str) -> Kind | None: ...

    def type(self, group: str, version: str, kind: str) -> StructType | None:
        """The schema graph of any API type, served or not (DeleteOptions, Scale, TokenRequest, ...)."""
        ...

    @property
    def discovery(self) -> Mapping[str, Sequence[Object]]:
        """Aggregated discovery items by root, ``/api`` and ``/apis``, with response kinds and verbs."""
        ...

    @property
    def bootstrap(self) -> Sequence[Object]:
        """What a fresh cluster contains (without UIDs and times)."""
        ...

    @property
    def version(self) -> Mapping[str, Any]:
        """/version as upstream answers it, with gitVersion ``v1.34.4+kloster.1``."""
        ...
