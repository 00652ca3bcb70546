"""What a fleet knows of a cluster when the cluster is not in memory: enough to open it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kloster.fleet import identity
from kloster.fleet.datadir import DataDirError, read_json, write_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """One cluster.

    id          immutable: the VirtualCluster's UID (``host`` for the embedded host)
    namespace   of the VirtualCluster, empty for the host
    minor       Kubernetes version
    layers      ids of the layers that the store lies on, the topmost first
    store       name of the store's file, which changes when the cluster is forked
    """

    id: str
    namespace: str
    name: str
    minor: str
    layers: tuple[str, ...]
    identity: identity.Identity
    store: str = "store.db"

    @property
    def display(self) -> str:
        """For logs and listings."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def save(directory: Path, record: Record) -> None:
    """Write ``cluster.json`` durably."""
    write_json(
        directory / "cluster.json",
        {
            "format": FORMAT,
            "id": record.id,
            "namespace": record.namespace,
            "name": record.name,
            "minor": record.minor,
            "layers": list(record.layers),
            "store": record.store,
            "identity": identity.to_json(record.identity),
        },
    )


def load(directory: Path) -> Record | None:
    """The saved record, None if there is none. Raises DataDirError if it is damaged or of a newer Kloster."""
    path = directory / "cluster.json"
    data = read_json(path)
    if data is None:
        return None
    try:
        if int(data["format"]) > FORMAT:
            raise DataDirError(f"{path} was written by a newer Kloster (format {data['format']}, known: {FORMAT})")
        return Record(
            data["id"],
            data["namespace"],
            data["name"],
            data["minor"],
            tuple(data["layers"]),
            identity.from_json(data["identity"]),
            data["store"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataDirError(f"{path} is damaged ({type(error).__name__}: {error}); restore it from a backup") from error
