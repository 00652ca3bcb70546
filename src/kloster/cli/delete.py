"""``kloster delete``."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter

from kloster.cli import clusters, kubeconfig, locate, output
from kloster.cli.errors import CliError


def run(
    *names: Annotated[str, Parameter(help="The virtual clusters.")],
    all_: Annotated[bool, Parameter(name="--all", help="All clusters of all namespaces.", negative="")] = False,
    namespace: locate.Namespace = clusters.DEFAULT_NAMESPACE,
    data_dir: locate.DataDirOption = None,
) -> None:
    """Delete virtual clusters: their state, their kubeconfig contexts and everything of theirs on the host.

    For example:

      kloster delete dev
      kloster delete ci-1 ci-2 -n ci
      kloster delete --all
    """
    if bool(names) == all_:
        raise CliError("say which clusters: kloster delete NAME..., or kloster delete --all")
    fleet = locate.find(data_dir)
    host = fleet.host()
    if all_:
        items = host.get(clusters.collection(""))["items"]
        wanted = [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in items]
    else:
        wanted = [(namespace, name) for name in names]
    list(kubeconfig.ours())  # a file that cannot be read is told before anything is deleted
    for where, name in wanted:
        clusters.get(host, where, name)
    for where, name in wanted:
        began = time.monotonic()
        host.delete(clusters.path(where, name))
        clusters.wait_gone(host, where, name)
        after = _forget(fleet, where, name)
        output.done(f"cluster {name} deleted{after}", time.monotonic() - began)
    if not wanted:
        output.done("there are no clusters")


def _forget(fleet: locate.Fleet, namespace: str, name: str) -> str:
    """Remove the cluster's contexts. Says which context is current now if that changed."""
    before = kubeconfig.current()[0]
    root = str(fleet.directory.root)
    for path, context, mark in list(kubeconfig.ours()):
        if (mark.data_dir, mark.namespace, mark.name) == (root, namespace, name):
            kubeconfig.remove(path, context)
    now = kubeconfig.current()[0]
    if now == before:
        return ""
    return f" (current context: {now})" if now else " (no context is current)"
