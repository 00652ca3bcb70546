"""``kloster connect``."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter

from kloster.cli import clusters, kubeconfig, locate, output
from kloster.cli.errors import CliError

HOST_CONTEXT = "kloster-host"


def run(
    name: Annotated[str, Parameter(help="The virtual cluster.")] = "",
    *command: Annotated[str, Parameter(help="Run this command with KUBECONFIG set, after --.")],
    host: Annotated[bool, Parameter(help="The embedded host itself.", negative="")] = False,
    print_: Annotated[bool, Parameter(name="--print", help="Write the kubeconfig to stdout.", negative="")] = False,
    namespace: locate.Namespace = clusters.DEFAULT_NAMESPACE,
    context: Annotated[str, Parameter(help="Name of the kubeconfig context.")] = "",
    data_dir: locate.DataDirOption = None,
) -> int:
    """Connect kubectl to a virtual cluster: add its context to the kubeconfig and select it.

    For example:

      kloster connect dev
      kloster connect dev --print > dev.kubeconfig
      kloster connect dev -- kubectl get pods -A
      kloster connect --host -- kubectl get nodes
    """
    if host and name:
        command, name = (name, *command), ""
    if not host and not name:
        raise CliError("say which cluster: kloster connect NAME, or kloster connect --host")
    fleet = locate.find(data_dir)
    document = _document(fleet, namespace, name)
    chosen = context or (clusters.context_name(namespace, name) if name else HOST_CONTEXT)
    if print_:
        output.say(yaml.dump(_named(document, chosen), Dumper=yaml.CSafeDumper, sort_keys=False).rstrip("\n"))
        return 0
    if command:
        return _with_kubeconfig(_named(document, chosen), list(command))
    mark = kubeconfig.Mark(str(fleet.directory.root), namespace if name else "", name)
    was = kubeconfig.add(document, chosen, mark, select=True)
    note = f"  (was: {was}; back: kloster disconnect)" if was and was != chosen else "  (back: kloster disconnect)"
    output.done(f"current context: {chosen}{note}")
    return 0


def _document(fleet: locate.Fleet, namespace: str, name: str) -> dict[str, Any]:
    api = fleet.host()
    if not name:
        return fleet.host_kubeconfig()
    cluster = clusters.get(api, namespace, name)
    clusters.wait_ready(api, cluster)
    return clusters.kubeconfig_of(api, namespace, name)


def _named(document: dict[str, Any], context: str) -> dict[str, Any]:
    """The document with its single cluster, user and context called `context`."""
    return {
        **document,
        "clusters": [{"name": context, "cluster": document["clusters"][0]["cluster"]}],
        "users": [{"name": context, "user": document["users"][0]["user"]}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }


def _with_kubeconfig(document: dict[str, Any], command: list[str]) -> int:
    """Run `command` with KUBECONFIG set to a private, temporary file. Returns its exit code."""
    with tempfile.TemporaryDirectory(prefix="kloster-") as directory:
        path = Path(directory) / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))
        try:
            finished = subprocess.run(command, env={**os.environ, "KUBECONFIG": str(path)}, check=False)
        except FileNotFoundError as error:
            raise CliError(f"cannot run {command[0]}: no such command on PATH") from error
        except PermissionError as error:
            raise CliError(f"cannot run {command[0]}: it is not executable") from error
    return finished.returncode if finished.returncode >= 0 else 128 - finished.returncode
