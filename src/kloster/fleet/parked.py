"""What a parked cluster leaves beside its store: when it is due, and what its part of the host looked like.

The file is there while the cluster is parked, and only then: it is removed before the cluster is opened, so that a
cluster that was awake when the process crashed is opened again and goes on with what it had begun. A process that
starts leaves a cluster parked if nothing of it has changed on the host meanwhile.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from kloster.client.api import Source
from kloster.client.resources import EVENTS
from kloster.fleet.datadir import DataDirError, read_json, sync_directory, write_json
from kloster.syncer.hub import FOLLOWED
from kloster.syncer.names import Tenancy

NAME = "parked.json"


@dataclass(frozen=True, slots=True)
class Rest:
    """What is saved.

    due     when the cluster must wake by itself, in seconds since 1970
    host    the `fingerprint` of its part of the host
    """

    due: float | None
    host: str


def save(directory: Path, rest: Rest) -> None:
    """The cluster is parked from now on."""
    write_json(directory / NAME, {"due": rest.due, "host": rest.host})


def load(directory: Path) -> Rest | None:
    """What was saved; None if the cluster was awake, or if it cannot be told."""
    try:
        data = read_json(directory / NAME)
        return None if data is None else Rest(data["due"], data["host"])
    except (DataDirError, KeyError, TypeError):
        return None


def forget(directory: Path) -> None:
    """The cluster is parked no longer; durable when this returns."""
    path = directory / NAME
    if path.exists():
        path.unlink()
        sync_directory(directory)


def fingerprint(source: Source, tenancy: Tenancy) -> str:
    """Changes with every object of the cluster on the host, but for events: they go by themselves."""
    digest = hashlib.blake2b(digest_size=16)
    for resource in FOLLOWED:
        if resource == EVENTS:
            continue
        for item in source.list(resource, tenancy.namespace):
            metadata = item["metadata"]
            digest.update(f"{resource.plural}/{metadata['uid']}/{metadata['resourceVersion']}\n".encode())
    return digest.hexdigest()
