"""Closed layers on disk: the template of a Kubernetes version, a frozen overlay, a flattened stack.

A layer file is a store file that will never change again, so any number of processes may read it without a lock.
A frozen overlay (`SqliteStore.freeze`) is one as it stands. Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kloster.stores.api import StoreBroken
from kloster.stores.layers import Layer
from kloster.stores.rows import Rows
from kloster.stores.storefile import FileInfo, create, read_frozen


def write_layer(path: Path, layer: Layer, base: Sequence[str] = ()) -> None:
    """Write `layer`, which lies on the layers with the ids `base`. Atomic and durable; FileExistsError if it exists."""
    rows: Rows = {key: layer.revision if entry is None else entry for key, entry in layer.entries()}
    create(path, FileInfo(layer.id, tuple(base), floor=layer.revision, frozen=True), rows)
    path.chmod(0o400)


def read_layer(path: Path, base: Sequence[str] = ()) -> Layer:
    """Read a layer, checking that it was made to lie on `base`. Raises StoreBroken."""
    if not path.exists():
        raise StoreBroken(f"{path} is missing; clusters that stand on this layer cannot be opened without it")
    info, content = read_frozen(path)
    check_base(path, info, base)
    return Layer.of(info.id, max(content.revision, info.floor), content.entries, content.tombstones)


def check_base(path: Path, info: FileInfo, base: Sequence[str]) -> None:
    """An overlay on the wrong layers would read as nonsense: deletions without objects, objects without history."""
    if info.base != tuple(base):
        raise StoreBroken(f"{path} lies on the layers {_listed(info.base)}, but was given {_listed(base)}")


def _listed(ids: Sequence[str]) -> str:
    return "[" + ", ".join(ids) + "]"
