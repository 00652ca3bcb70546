"""Which fleet a command means: --data-dir, KLOSTER_DATA_DIR, the current context's mark, the default directory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter

from kloster.cli import kubeconfig
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI
from kloster.fleet import owners
from kloster.fleet.datadir import DataDir, default_root

DataDirOption = Annotated[
    Path | None, Parameter(name="--data-dir", help="Where the fleet keeps its files [env: KLOSTER_DATA_DIR].")
]
Namespace = Annotated[str, Parameter(name=["--namespace", "-n"], help="Namespace of the VirtualCluster on the host.")]


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet's directory, what its process said when it was ready (empty when none runs), and which process it is."""

    directory: DataDir
    state: dict[str, Any]
    holder: int = 0

    @property
    def running(self) -> bool:
        """Whether it runs and is ready."""
        return bool(self.state)

    @property
    def busy(self) -> bool:
        """Whether its process is there: ready, starting or ending."""
        return self.holder != 0

    def host(self) -> HostAPI:
        """The host's API. Raises CliError if no fleet runs there."""
        if not self.running:
            if self.busy:
                raise CliError(
                    f"the host in {self.directory.root} (process {self.holder}) is starting or ending; try again"
                )
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
    """The fleet that is meant, running or not. Raises DataDirError if its directory is somebody else's."""
    directory = DataDir(_root(data_dir))
    directory.check_readable()
    holder = directory.holder()
    return Fleet(directory, directory.served(holder), holder)


def wait_ready(data_dir: Path, timeout: float = 60.0) -> Fleet:
    """The fleet once it is ready, if somebody has started it; as it is if nobody has."""
    ends = time.monotonic() + timeout
    while (fleet := find(data_dir)).busy and not fleet.running and time.monotonic() < ends:
        time.sleep(0.02)
    return fleet


def _root(data_dir: Path | None) -> Path:
    if data_dir is not None:
        return owners.expanded(data_dir).absolute()
    if os.environ.get("KLOSTER_DATA_DIR"):
        return default_root()
    _, context = kubeconfig.current()
    mark = kubeconfig.mark_of(context) if context is not None else None
    if mark is not None and mark.data_dir and Path(mark.data_dir).is_dir():
        return Path(mark.data_dir)
    return default_root()
