"""The entry point. Commands are imported when they are run."""

from __future__ import annotations

import sys

from cyclopts import App

from kloster import __version__
from kloster.cli.errors import report

APP = App(
    name="kloster",
    help="A Kubernetes cluster of its own for everybody, in milliseconds, on one shared cluster.",
    version=f"kloster {__version__}",
    help_format="plaintext",
)
COMMANDS = {
    "create": "Create a virtual cluster and connect to it.",
    "list": "List the virtual clusters.",
    "describe": "Show one virtual cluster.",
    "connect": "Connect kubectl to a virtual cluster, or run a command with its kubeconfig.",
    "disconnect": "Go back to the kubeconfig context from before.",
    "delete": "Delete virtual clusters and everything of theirs on the host.",
    "token": "Print a service account's token.",
    "up": "Start the embedded host and the fleet.",
    "down": "Stop them; clusters are kept.",
    "status": "Show whether the host runs, and where.",
    "demo": "A host, a virtual cluster and an application in it, checked and cleaned up.",
    "version": "Print versions.",
    "completion": "Print the completion script of a shell.",
}


def _register(listing: bool) -> None:
    """Register the commands. Their own texts are in their modules; a listing needs one line of each, and no module."""
    for name, text in COMMANDS.items():
        path = f"kloster.cli.{name}:run"
        if listing:
            APP.command(path, name=name, help=text)
        else:
            APP.command(path, name=name)


_register(listing=len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"))


def main() -> None:
    """Run the command line; errors that a user can do something about are one message and exit code 1."""
    try:
        sys.exit(APP() or 0)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        sys.exit(report(error))


if __name__ == "__main__":
    main()
