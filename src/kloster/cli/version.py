"""``kloster version``."""

from __future__ import annotations

import platform

from kloster import __version__
from kloster.cli import output
from kloster.kinds.catalog import MINORS


def run() -> None:
    """Print the versions of Kloster and Python, and the Kubernetes versions that clusters can have.

    For example:

      kloster version
    """
    output.say(f"kloster {__version__}")
    output.say(f"python {platform.python_version()}")
    output.say(f"kubernetes {MINORS[0]} to {MINORS[-1]}")
