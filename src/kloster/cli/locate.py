"""Which fleet a command means: --data-dir, KLOSTER_DATA_DIR, the current context's mark, the default directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter

from kloster.cli import kubeconfig
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI
from kloster.fleet.datadir import DataDir, default_root, read_json

DataDirOption = Annotated[
    Path | None, Parameter(name="--data-dir", help="Where the fleet keeps its files [env: KLOSTER_DATA_DIR].")
]
Namespace = Annotated[str, Parameter(name=["--namespace", "-n"], help="Namespace of the VirtualCluster on the host.")]


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet's directory and what its process said when it was ready (empty when none runs)."""

    directory: DataDir
    state: dict[str, Any]

    @property
    def running(self) -> bool:
        return bool(self.state)

    def host(self) -> HostAPI:
        """The host's API. Raises CliError if no fleet runs there."""
        if not self.running:
            raise CliError(f"no host is running in {self.directory.root}; start one with: kloster up")
        return HostAPI(self.host_kubeconfig())

    def host_kubeconfig(self) -> dict[str, Any]:
        try:
            text = self.directory.admin_kubeconfig.read_text()
        except OSError as error:
            raise CliError(f"{self.directory.admin_kubeconfig} cannot be read: {error.strerror}") from error
        content: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
        return content


def find(data_dir: Path | None) -> Fleet:
    """The fleet that is meant, running or not."""
    directory = DataDir(_root(data_dir))
    state = read_json(directory.state) or {}
    if state and not _alive(int(state.get("pid", 0))):
        state = {}
    return Fleet(directory, state)


def _root(data_dir: Path | None) -> Path:
    if data_dir is not None:
        return data_dir.expanduser().absolute()
    if os.environ.get("KLOSTER_DATA_DIR"):
        return default_root()
    _, context = kubeconfig.current()
    mark = kubeconfig.mark_of(context) if context is not None else None
    if mark is not None and mark.data_dir and Path(mark.data_dir).is_dir():
        return Path(mark.data_dir)
    return default_root()


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
