"""Starting a fleet's process in the background, for commands."""

from __future__ import annotations

import os
from typing import Any

from kloster.cli.errors import CliError
from kloster.cli.locate import Fleet
from kloster.fleet import launch, owners


def refuse_sudo(fleet: Fleet) -> None:
    """Raises HomeError if with sudo root's files would be left in the user's home."""
    owners.refuse_sudo(fleet.directory.root, "--data-dir or KLOSTER_DATA_DIR")


def detached(fleet: Fleet, arguments: list[str], *, tied: bool = False) -> dict[str, Any]:
    """Start the fleet's process. Returns what it says when it is ready. Raises CliError, HomeError.

    tied    the process ends when this one does, however that comes, and its directory with it
    """
    if not tied:
        refuse_sudo(fleet)
    lifeline = -1
    if tied:
        lifeline, _ = os.pipe()  # its other end closes with this process
    try:
        return launch.detached(fleet.directory, arguments, lifeline).state
    except launch.LaunchError as error:
        raise CliError(str(error)) from error
    finally:
        if lifeline >= 0:
            os.close(lifeline)
