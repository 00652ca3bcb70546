"""What a translator gives the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kloster.apimachinery import Object
from kloster.client.api import Change, Resource
from kloster.syncer.actions import Action
from kloster.syncer.names import Tenancy


@dataclass(frozen=True, slots=True)
class World:
    """What a decision may look at beside the two objects themselves.

    tenancy       names on the host
    policy        the cluster's spec.policies and spec.sync, parsed
    lookup        (resource, namespace, name) → virtual object
    virtual_list  (resource, namespace) → virtual objects
    host_lookup   (resource, name) → object in the cluster's host namespace
    referrers     (kind, namespace, name) → living virtual pods that refer to it
    crossing      plurals that are synced
    lost          names of nodes of which the cluster hears nothing, because a test wants that
    now           seconds since the epoch
    settings      cluster settings (domain, service CIDR, ...)
    """

    tenancy: Tenancy
    lookup: Callable[[Resource, str, str], Object | None]
    virtual_list: Callable[[Resource, str], Sequence[Object]]
    host_lookup: Callable[[Resource, str], Object | None]
    now: float = 0.0
    policy: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    referrers: Callable[[str, str, str], Sequence[tuple[str, str]]] = lambda *_: ()
    crossing: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()


class Refused(Exception):
    """The object must not cross. The text tells the tenant why and what to do."""


Decide = Callable[[World, Object | None, Object | None], Sequence[Action]]
"""(world, virtual, host) → actions. Either may be None. `host` is one that this cluster owns."""


Related = Callable[[Change, World], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Translator:
    """A kind that is synced.

    resource     the kind, the same on both sides
    kind         what host objects of it are marked with
    decide       the whole decision for one object
    related      virtual resources whose changes concern objects of this kind:
                 resource → (change, world) → keys (namespace, name)
    on_host      host resources of the cluster, likewise
    by_reference objects cross while pods refer to them
    """

    resource: Resource
    kind: str
    decide: Decide
    related: Mapping[Resource, Related] = field(default_factory=dict)
    on_host: Mapping[Resource, Related] = field(default_factory=dict)
    by_reference: bool = False
