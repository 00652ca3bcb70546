"""What a cluster serves: its resources, found by discovery.

One request a root, in the aggregated form (https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery).
Of each group only the preferred version of a resource is told: the versions show the same objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from kloster.apimachinery import Object
from kloster.client.api import Resource
from kloster.client.client import Client, raise_for_status, read_body

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """A resource, what can be done with it, and the versions in which it is served (the preferred one first)."""

    resource: Resource
    verbs: frozenset[str]
    versions: tuple[str, ...]


async def served(client: Client) -> list[Served]:
    """Every resource that is served, subresources left out. Raises StatusError, ConnectionFailed."""
    found: list[Served] = []
    for root in ("/api", "/apis"):
        response = await client.request("GET", root, headers={"accept": _ACCEPT})
        await raise_for_status(response)
        document: Object = orjson.loads(await read_body(response))
        for item in document.get("items") or ():
            found.extend(_of_group(item))
    return found


def _of_group(item: Object) -> Iterator[Served]:
    group = (item.get("metadata") or {}).get("name", "")
    versions: dict[str, list[str]] = {}
    first: dict[str, tuple[Resource, frozenset[str]]] = {}
    for version in item.get("versions") or ():
        for entry in version.get("resources") or ():
            plural = entry["resource"]
            versions.setdefault(plural, []).append(version["version"])
            if plural in first:
                continue
            kind = (entry.get("responseKind") or {}).get("kind") or ""
            resource = Resource(group, version["version"], plural, kind, entry.get("scope") == "Namespaced")
            first[plural] = (resource, frozenset(entry.get("verbs") or ()))
    for plural, (resource, verbs) in first.items():
        yield Served(resource, verbs, tuple(versions[plural]))
