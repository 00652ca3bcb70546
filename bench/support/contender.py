"""A control plane that is measured: its address, its administrator, its processes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from kloster.cli.hostapi import HostAPI
from support import fleet_process, processes
from support.arguments import Arguments


@dataclass(frozen=True, slots=True)
class Contender:
    """`admin` is a kubeconfig document; `pids` are all processes whose time counts."""

    name: str
    admin: Mapping[str, Any]
    pids: tuple[int, ...]

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.admin["clusters"][0]["cluster"]["server"])
        return parts.hostname or "127.0.0.1", parts.port or 443

    @property
    def api(self) -> HostAPI:
        return HostAPI(self.admin)

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(self.pids)

    def token_kubeconfig(self, token: str) -> dict[str, Any]:
        """The same server for the holder of a token."""
        return {**self.admin, "users": [{"name": self.admin["users"][0]["name"], "user": {"token": token}}]}


@contextmanager
def contenders(arguments: Arguments, nodes: int = 3) -> Iterator[list[Contender]]:
    """A fresh virtual cluster, and the peer if there is one; all servers on the same processors."""
    with fleet_process.started(arguments, nodes) as (admin, pid):
        found = [Contender("kloster", admin, (pid, *processes.children(pid)))]
        if arguments.peer_kubeconfig is not None:
            found.append(Contender("kube-apiserver", _document(arguments.peer_kubeconfig), arguments.peer_pids))
        for contender in found:
            processes.pin(contender.pids, arguments.server_cpus)
        yield found


def _document(path: Path) -> dict[str, Any]:
    """A kubeconfig with its files read in."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    for section, entry in (("clusters", "cluster"), ("users", "user")):
        for item in document[section]:
            for name in ("certificate-authority", "client-certificate", "client-key"):
                file = item[entry].pop(name, None)
                if file is not None:
                    content = (path.parent / file).read_bytes()
                    item[entry][f"{name}-data"] = base64.b64encode(content).decode()
    return document
