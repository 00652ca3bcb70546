"""What every benchmark can be told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Arguments:
    """directory   scratch space for the fleet; must be on a real disk, because commits are synced
    peers       (kubeconfig, process ids) of a real control plane, empty for none
    """

    rounds: int
    seconds: float
    server_cpus: frozenset[int]
    load_cpus: frozenset[int]
    directory: Path | None
    peer_kubeconfig: Path | None
    peer_pids: tuple[int, ...]
    objects: int
    python: str
    source: Path | None
    workers: int = 1


def parse(description: str, *, rounds: int = 3, seconds: float = 5.0, objects: int = 10_000) -> Arguments:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="turns that each contender gets")
    parser.add_argument("--seconds", type=float, default=seconds, help="length of one turn")
    parser.add_argument("--objects", type=int, default=objects, help="how many objects there are")
    parser.add_argument("--server-cpus", type=_cpus, default=frozenset({0}), help="processors of the servers: 0 or 0,1")
    parser.add_argument("--load-cpus", type=_cpus, default=frozenset({1}), help="processors of the load")
    parser.add_argument("--directory", type=Path, help="scratch directory on a disk (default: build/bench)")
    parser.add_argument("--peer-kubeconfig", type=Path, help="administrator of a kube-apiserver to compare with")
    parser.add_argument("--peer-pid", type=int, action="append", default=[], help="its processes (etcd, too)")
    parser.add_argument("--python", default="", help="interpreter of another checkout to measure (before and after)")
    parser.add_argument("--source", type=Path, help="src directory of another checkout to measure")
    parser.add_argument("--workers", type=int, default=1, help="as of kloster up; all of them count as the server")
    found = parser.parse_args()
    return Arguments(
        rounds=found.rounds,
        seconds=found.seconds,
        server_cpus=found.server_cpus,
        load_cpus=found.load_cpus,
        directory=found.directory,
        peer_kubeconfig=found.peer_kubeconfig,
        peer_pids=tuple(found.peer_pid),
        objects=found.objects,
        python=found.python,
        source=found.source,
        workers=found.workers,
    )


def _cpus(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(","))
