"""``kloster down``."""

from __future__ import annotations

import os
import signal
import time

from kloster.cli import locate, output
from kloster.cli.errors import CliError

TIMEOUT = 30.0


def run(*, data_dir: locate.DataDirOption = None) -> None:
    """Stop the host and its fleet. Clusters, addresses and certificates are kept for the next kloster up.

    For example:

      kloster down
    """
    fleet = locate.find(data_dir)
    if not fleet.busy:
        output.done(f"no host is running in {fleet.directory.root}")
        return
    began = time.monotonic()
    stop(fleet)
    output.done("host stopped; clusters are kept", time.monotonic() - began)


def stop(fleet: locate.Fleet) -> None:
    """End the fleet's process and wait until it has gone. Raises CliError if it does not go."""
    pid = fleet.holder
    if not pid:
        return
    began = time.monotonic()
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise CliError(f"process {pid}, which serves {fleet.directory.root}, belongs to another user") from error
    while fleet.directory.holder() == pid:
        if time.monotonic() - began > TIMEOUT:
            raise CliError(f"process {pid} has not ended after {TIMEOUT:.0f} s; see {fleet.directory.log}")
        time.sleep(0.02)
    fleet.directory.state.unlink(missing_ok=True)
