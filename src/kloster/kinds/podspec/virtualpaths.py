"""Files of config maps, secrets and projections that hide each other in a volume.

Two keys with the same path, or one whose path is a folder of the other's: the kubelet cannot write both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kloster.apimachinery import Object

MOST = 1000
"""Collisions that are told."""


class File(NamedTuple):
    """`source` says where it comes from, in a volume that has several sources."""

    path: str
    source: str = ""

    def __str__(self) -> str:
        return f'"{self.path}" ({self.source})' if self.source else f'"{self.path}"'


# field of a volume → (how it is called, which field names its object)
_KINDS = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName"), "downwardAPI": ("DownwardAPI", "")}


def overlaps(volumes: Iterable[Object]) -> Iterator[str]:
    """A warning for each pair of files that cannot both be there."""
    for volume in volumes:
        name = volume.get("name", "")
        for field, (kind, named) in _KINDS.items():
            source = volume.get(field)
            if source is None:
                continue
            described = f'{kind} "{source.get(named, "")}"' if named else kind
            for pair in _pairs(File(item.get("path", "")) for item in source.get("items") or ()):
                yield f'volume "{name}" ({described}): overlapping paths: {pair}'
        if volume.get("projected") is not None:
            yield from _projected(name, volume["projected"])


def _projected(name: str, projected: Object) -> Iterator[str]:
    sources = projected.get("sources") or ()
    for source in sources:
        if not any(value is not None for value in source.values()):
            yield f'volume "{name}" (Projected) has no sources provided'
    for pair in _pairs(file for source in sources for file in _files(source)):
        yield f'volume "{name}" (Projected): overlapping paths: {pair}'


def _files(source: Object) -> Iterator[File]:
    for field, (kind, _) in _KINDS.items():
        if source.get(field) is not None:
            described = kind if field == "downwardAPI" else f'{kind} "{source[field].get("name", "")}"'
            for item in source[field].get("items") or ():
                yield File(item.get("path", ""), described)
    if (token := source.get("serviceAccountToken")) is not None:
        yield File(token.get("path", ""), "ServiceAccountToken")
    if (bundle := source.get("clusterTrustBundle")) is not None:
        named = bundle.get("name") if bundle.get("name") is not None else bundle.get("signerName", "")
        yield File(bundle.get("path", ""), f'ClusterTrustBundle "{named}"')
    if (certificate := source.get("podCertificate")) is not None:
        parts = ("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle")
        for field, word in parts:
            if certificate.get(field):
                yield File(certificate[field], f"PodCertificate {word}")


def _pairs(files: Iterable[File]) -> Iterator[str]:
    """Each file that collides with an earlier one, and which. Sorted, a folder stands right before what is in it."""
    given = [file._replace(path=path) for file in files if (path := file.path.rstrip("/"))]
    found: list[tuple[int, int]] = []
    folders: list[int] = []
    for index in sorted(range(len(given)), key=lambda number: (f"{given[number].path}/", number)):
        while folders and not f"{given[index].path}/".startswith(f"{given[folders[-1]].path}/"):
            folders.pop()
        found.extend((max(index, folder), min(index, folder)) for folder in folders)
        folders.append(index)
        if len(found) > MOST:
            break
    yield from (f"{given[later]} with {given[earlier]}" for later, earlier in sorted(found))
