"""What a fleet knows of a cluster when the cluster is not in memory: enough to open it again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kloster.fleet import identity
from kloster.fleet.datadir import DataDirError, read_json, write_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """What a fork is a fork of, and how that was.

    uid         of the source's VirtualCluster
    revision    the source's newest at that moment
    time        seconds since 1970
    layers      ids of the layers that hold the source's state of that moment, the topmost first
    ahead       seconds by which a test had moved the source's time on
    """

    namespace: str
    name: str
    uid: str
    revision: int
    time: float
    layers: tuple[str, ...]
    ahead: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """One cluster.

    id          immutable: the VirtualCluster's UID (``host`` for the embedded host)
    namespace   of the VirtualCluster, empty for the host
    minor       Kubernetes version
    layers      ids of the layers that the store lies on, the topmost first
    store       name of the store's file, which changes when the cluster is forked
    replaced    ids of the layers that `layers` have taken the place of; the store's file may name these still
    origin      for a fork
    reset       the last value of the annotation that asks for going back to the state at the fork
    """

    id: str
    namespace: str
    name: str
    minor: str
    layers: tuple[str, ...]
    identity: identity.Identity
    store: str = "store.db"
    replaced: tuple[str, ...] = ()
    origin: Origin | None = None
    reset: str = ""

    @property
    def needed(self) -> frozenset[str]:
        """The layers that the cluster stands on, now or after it was reset."""
        return frozenset((*self.layers, *self.replaced, *(self.origin.layers if self.origin else ())))

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
            "replaced": list(record.replaced),
            "origin": _origin_to_json(record.origin),
            "reset": record.reset,
            "identity": identity.to_json(record.identity),
        },
    )


def needed(directory: Path) -> frozenset[str]:
    """`Record.needed` of the saved record, without reading keys. Raises DataDirError."""
    data = read_json(directory / "cluster.json") or {"layers": ()}
    try:
        origin = (data.get("origin") or {}).get("layers", ())
        return frozenset((*data["layers"], *data.get("replaced", ()), *origin))
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(directory / "cluster.json", error) from error


def _damaged(path: Path, error: Exception) -> DataDirError:
    return DataDirError(f"{path} is damaged ({type(error).__name__}: {error}); restore it from a backup")


def _origin_to_json(origin: Origin | None) -> dict[str, Any] | None:
    if origin is None:
        return None
    return {**dataclasses.asdict(origin), "layers": list(origin.layers)}


def _origin(data: dict[str, Any] | None) -> Origin | None:
    return None if data is None else Origin(**{**data, "layers": tuple(data["layers"])})


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
            tuple(data.get("replaced", ())),
            _origin(data.get("origin")),
            data.get("reset", ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error
