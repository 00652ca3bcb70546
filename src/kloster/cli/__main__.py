"""The entry point. Commands are imported when they are run."""

from __future__ import annotations

import signal
import sys

from cyclopts import App

from kloster import __version__
from kloster.cli.errors import report

COMMANDS = {
    "create": "Create a virtual cluster and connect to it.",
    "list": "List the virtual clusters.",
    "describe": "Show one virtual cluster.",
    "fork": "Make a copy-on-write branch of a virtual cluster.",
    "reset": "Set a fork back to the state at its fork.",
    "connect": "Connect kubectl to a virtual cluster, or run a command with its kubeconfig.",
    "disconnect": "Go back to the kubeconfig context from before.",
    "delete": "Delete virtual clusters and everything of theirs on the host.",
    "token": "Print a service account's token.",
    "up": "Start the embedded host and the fleet.",
    "down": "Stop them; clusters are kept.",
    "status": "Show whether the host runs, and where.",
    "run": "Run a test command once per Kubernetes version.",
    "envtest": "Executables that controller-runtime's envtest starts, for any version.",
    "demo": "A host, a virtual cluster and an application in it, checked and cleaned up.",
    "version": "Print versions.",
    "completion": "Print the completion script of a shell.",
}


def application(listing: bool) -> App:
    """The command line. Commands' own texts are in their modules, which are imported when a command is run.

    listing    for an overview: one line for each command, and no module
    """
    app = App(
        name="kloster",
        help="A Kubernetes cluster of its own for everybody, in milliseconds, on one shared cluster.",
        version=f"kloster {__version__}",
        help_format="plaintext",
    )
    for name, text in COMMANDS.items():
        path = f"kloster.cli.{name}:run"
        if listing:
            app.command(path, name=name, help=text)
        else:
            app.command(path, name=name)
    return app


def _terminated(number: int, _: object) -> None:
    """End as after Ctrl-C: what was begun is cleaned up."""
    sys.exit(128 + number)


def main() -> None:
    """Run the command line; errors that a user can do something about are one message and exit code 1."""
    signal.signal(signal.SIGTERM, _terminated)
    app = application(listing=len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"))
    try:
        sys.exit(app() or 0)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        sys.exit(report(error))


if __name__ == "__main__":
    main()
