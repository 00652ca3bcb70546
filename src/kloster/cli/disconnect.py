"""``kloster disconnect``."""

from __future__ import annotations

from kloster.cli import kubeconfig, output
from kloster.cli.errors import CliError


def run() -> None:
    """Remove the current Kloster context from the kubeconfig and go back to the one that was current before.

    The cluster goes on running.

    For example:

      kloster disconnect
    """
    name, context = kubeconfig.current()
    if not name or context is None or kubeconfig.mark_of(context) is None:
        found = f'the current context is "{name}"' if name else "no context is current"
        raise CliError(f"not connected: {found}, which is not one of Kloster's")
    path = next(path for path, known, _ in kubeconfig.ours() if known == name)
    now = kubeconfig.remove(path, name)
    output.done(f"current context: {now}" if now else "no context is current")
